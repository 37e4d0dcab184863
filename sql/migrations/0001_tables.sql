-- The nights and what they made. A run is one logical date; its pictures are kept once, under their
-- asset_key, however many runs serve them.
-- Foreign keys are left out on purpose: DuckDB checks them against rows that the same transaction
-- has already replaced, and a night is published again by replacing its rows. Publishing checks
-- every reference before it writes.
CREATE TABLE runs (
    run_id         VARCHAR PRIMARY KEY,
    logical_date   DATE NOT NULL UNIQUE,
    model_version  VARCHAR NOT NULL,
    settings_hash  VARCHAR NOT NULL,
    seed           BIGINT NOT NULL,
    config         JSON NOT NULL,
    planned        BIGINT NOT NULL CHECK (planned >= 0),
    generated      BIGINT NOT NULL CHECK (generated >= 0),
    reused         BIGINT NOT NULL CHECK (reused >= 0),
    rejected       BIGINT NOT NULL CHECK (rejected >= 0),
    served         BIGINT NOT NULL CHECK (served = generated + reused),
    skipped        BIGINT NOT NULL CHECK (skipped >= 0),
    content_sha256 VARCHAR NOT NULL,
    published_at   TIMESTAMPTZ NOT NULL
);

CREATE TABLE assets (
    asset_key     VARCHAR PRIMARY KEY,
    user_id       VARCHAR NOT NULL,
    item_id       VARCHAR NOT NULL,
    image         BLOB,
    image_uri     VARCHAR,
    image_sha256  VARCHAR NOT NULL,
    format        VARCHAR NOT NULL,
    width         INTEGER NOT NULL CHECK (width > 0),
    height        INTEGER NOT NULL CHECK (height > 0),
    byte_size     BIGINT NOT NULL CHECK (byte_size > 0),
    mask_ratio    DOUBLE NOT NULL,
    seed          BIGINT NOT NULL,
    model_version VARCHAR NOT NULL,
    history_ids   VARCHAR[] NOT NULL,
    first_run_id  VARCHAR NOT NULL,
    CHECK (image IS NOT NULL OR image_uri IS NOT NULL)
);

CREATE TABLE run_assets (
    run_id    VARCHAR NOT NULL,
    user_id   VARCHAR NOT NULL,
    item_id   VARCHAR NOT NULL,
    asset_key VARCHAR NOT NULL,
    origin    VARCHAR NOT NULL CHECK (origin IN ('generated', 'reused')),
    priority  DOUBLE NOT NULL,
    PRIMARY KEY (run_id, user_id, item_id)
);

CREATE TABLE asset_scores (
    asset_key VARCHAR NOT NULL,
    metric    VARCHAR NOT NULL,
    value     DOUBLE NOT NULL,
    PRIMARY KEY (asset_key, metric)
);

-- Two users with the same history can share a key, so the pair is the key here.
CREATE TABLE rejections (
    run_id    VARCHAR NOT NULL,
    user_id   VARCHAR NOT NULL,
    item_id   VARCHAR NOT NULL,
    asset_key VARCHAR NOT NULL,
    reason    VARCHAR NOT NULL,
    detail    VARCHAR,
    PRIMARY KEY (run_id, user_id, item_id)
);

CREATE TABLE problems (
    run_id   VARCHAR NOT NULL,
    kind     VARCHAR NOT NULL,
    subject  VARCHAR NOT NULL,
    location VARCHAR,
    message  VARCHAR NOT NULL
);

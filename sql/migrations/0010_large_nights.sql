-- Nights of many millions of pictures. DuckDB holds the whole index of a primary key in memory while rows are
-- added, twice within one transaction, and never spills it: a gigabyte per ten million keys of `assets`
-- alone. Publishing checks that keys are unique before it writes, so the large tables need no primary key.
-- One index remains, for looking up single pictures.

CREATE TABLE new_assets (
    asset_key     VARCHAR NOT NULL,
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
    marking       VARCHAR,
    drawn_sha256  VARCHAR,
    CHECK (image IS NOT NULL OR image_uri IS NOT NULL)
);
INSERT INTO new_assets BY NAME SELECT * FROM assets;
DROP TABLE assets;
ALTER TABLE new_assets RENAME TO assets;
CREATE INDEX assets_of_key ON assets (asset_key);

CREATE TABLE new_run_assets (
    run_id    VARCHAR NOT NULL,
    user_id   VARCHAR NOT NULL,
    item_id   VARCHAR NOT NULL,
    asset_key VARCHAR NOT NULL,
    origin    VARCHAR NOT NULL CHECK (origin IN ('generated', 'reused')),
    priority  DOUBLE NOT NULL
);
INSERT INTO new_run_assets BY NAME SELECT * FROM run_assets;
DROP TABLE run_assets;
ALTER TABLE new_run_assets RENAME TO run_assets;

CREATE TABLE new_asset_scores (
    asset_key VARCHAR NOT NULL,
    metric    VARCHAR NOT NULL,
    value     DOUBLE NOT NULL
);
INSERT INTO new_asset_scores BY NAME SELECT * FROM asset_scores;
DROP TABLE asset_scores;
ALTER TABLE new_asset_scores RENAME TO asset_scores;

CREATE TABLE new_rejections (
    run_id    VARCHAR NOT NULL,
    user_id   VARCHAR NOT NULL,
    item_id   VARCHAR NOT NULL,
    asset_key VARCHAR NOT NULL,
    reason    VARCHAR NOT NULL,
    detail    VARCHAR
);
INSERT INTO new_rejections BY NAME SELECT * FROM rejections;
DROP TABLE rejections;
ALTER TABLE new_rejections RENAME TO rejections;

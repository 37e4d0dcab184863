-- Every model that an alignment made or a person registered, accepted or refused. The serving one is
-- the one promoted last: there is no flag that two rows could carry, or none.
CREATE TABLE models (
    version        VARCHAR PRIMARY KEY,
    parent_version VARCHAR,
    alignment      VARCHAR,
    config_hash    VARCHAR NOT NULL,
    config         JSON NOT NULL,
    metrics        JSON NOT NULL,
    weights_path   VARCHAR NOT NULL,
    weights_sha256 VARCHAR NOT NULL,
    decision       VARCHAR NOT NULL CHECK (decision IN ('accepted', 'refused')),
    reason         VARCHAR NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    promoted_at    TIMESTAMPTZ
);

CREATE VIEW serving_model AS
SELECT * FROM models WHERE promoted_at IS NOT NULL ORDER BY promoted_at DESC LIMIT 1;

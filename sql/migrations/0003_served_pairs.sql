-- Serving by one lookup: what readers get is kept as a table of its own instead of being derived
-- from every night on every question.

-- One row per served (user, item) of the newest night that serves any: the answer as the tables of
-- the nights have it.
CREATE VIEW newest_pairs AS
SELECT
    served.user_id,
    served.item_id,
    served.asset_key,
    selection.value AS score,
    text.value      AS text_score,
    history.value   AS history_score,
    runs.run_id,
    runs.logical_date
FROM runs
JOIN run_assets AS served ON served.run_id = runs.run_id
LEFT JOIN asset_scores AS selection
    ON selection.asset_key = served.asset_key AND selection.metric = 'selection_score'
LEFT JOIN asset_scores AS text
    ON text.asset_key = served.asset_key AND text.metric = 'text_score'
LEFT JOIN asset_scores AS history
    ON history.asset_key = served.asset_key AND history.metric = 'history_score'
WHERE runs.logical_date = (SELECT max(logical_date) FROM runs WHERE served > 0);

-- The same rows, written by every publication in its own transaction.
CREATE TABLE served_pairs (
    user_id       VARCHAR NOT NULL,
    item_id       VARCHAR NOT NULL,
    asset_key     VARCHAR NOT NULL,
    score         DOUBLE,
    text_score    DOUBLE,
    history_score DOUBLE,
    run_id        VARCHAR NOT NULL,
    logical_date  DATE NOT NULL
);
INSERT INTO served_pairs BY NAME SELECT * FROM newest_pairs ORDER BY user_id, item_id;
CREATE INDEX served_pairs_of_user ON served_pairs (user_id);

CREATE OR REPLACE VIEW served_assets AS
SELECT
    pair.user_id,
    pair.item_id,
    assets.image,
    assets.image_uri,
    assets.format,
    pair.score,
    pair.text_score,
    pair.history_score,
    pair.asset_key,
    assets.image_sha256,
    assets.model_version,
    assets.history_ids,
    pair.run_id,
    pair.logical_date
FROM served_pairs AS pair
JOIN assets ON assets.asset_key = pair.asset_key;

-- Every folder or bucket that pictures were ever put into, so that what is no longer referred to is
-- still found when the setting has moved on.
CREATE TABLE image_stores (
    address VARCHAR PRIMARY KEY
);

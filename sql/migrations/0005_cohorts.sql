-- Taste cohorts, the plan in rows, and an answer for every question: own picture, else the cohort's,
-- else the original.

-- Which cohort each user belongs to, night by night. A cohort's pictures are ordinary assets whose
-- user_id is its name.
CREATE TABLE cohorts (
    run_id  VARCHAR NOT NULL,
    user_id VARCHAR NOT NULL,
    cohort  VARCHAR NOT NULL
);

-- What the plan made of each candidate pair; kept for the night that is served.
CREATE TABLE plan_pairs (
    run_id         VARCHAR NOT NULL,
    user_id        VARCHAR NOT NULL,
    item_id        VARCHAR NOT NULL,
    rank           INTEGER NOT NULL,
    score          DOUBLE NOT NULL,
    expected_views DOUBLE NOT NULL,
    expected_gain  DOUBLE,
    reason         VARCHAR NOT NULL,
    detail         VARCHAR
);

-- The catalogue's own pictures as of the last publication.
CREATE TABLE originals (
    item_id      VARCHAR PRIMARY KEY,
    image_uri    VARCHAR NOT NULL,
    image_sha256 VARCHAR NOT NULL
);

-- How long each shard took when it was drawn: wall-clock facts, which no hash covers. The first
-- publication of a night counts, so that a budget in minutes is the same whenever it is asked.
CREATE TABLE drawing_times (
    run_id  VARCHAR NOT NULL,
    shard   INTEGER NOT NULL,
    assets  BIGINT NOT NULL CHECK (assets > 0),
    seconds DOUBLE NOT NULL CHECK (seconds > 0),
    PRIMARY KEY (run_id, shard)
);

-- Of the served night, for one lookup each; written by every publication in its own transaction.
CREATE TABLE served_cohorts (
    user_id VARCHAR NOT NULL,
    cohort  VARCHAR NOT NULL
);
CREATE INDEX served_cohorts_of_user ON served_cohorts (user_id);

CREATE TABLE served_cohort_pairs (
    cohort        VARCHAR NOT NULL,
    item_id       VARCHAR NOT NULL,
    asset_key     VARCHAR NOT NULL,
    score         DOUBLE,
    text_score    DOUBLE,
    history_score DOUBLE,
    run_id        VARCHAR NOT NULL,
    logical_date  DATE NOT NULL
);

CREATE VIEW newest_cohort_pairs AS
SELECT * RENAME (user_id AS cohort)
FROM newest_pairs
WHERE starts_with(user_id, 'cohort:');

CREATE VIEW newest_cohorts AS
SELECT user_id, cohort
FROM cohorts
WHERE run_id = (SELECT run_id FROM runs WHERE served > 0 ORDER BY logical_date DESC LIMIT 1);

-- People and cohorts are counted apart.
CREATE OR REPLACE VIEW asset_quality_daily AS
WITH quality AS (
    SELECT
        served.run_id,
        avg(scores.value) FILTER (scores.metric = 'selection_score')    AS mean_score,
        median(scores.value) FILTER (scores.metric = 'selection_score') AS median_score,
        avg(scores.value) FILTER (scores.metric = 'text_score')         AS mean_text_score,
        avg(scores.value) FILTER (scores.metric = 'history_score')      AS mean_history_score,
        avg(scores.value) FILTER (scores.metric = 'reference_score')    AS mean_reference_score
    FROM run_assets AS served
    JOIN asset_scores AS scores USING (asset_key)
    GROUP BY served.run_id
),
reach AS (
    SELECT
        run_id,
        count(DISTINCT user_id) FILTER (NOT starts_with(user_id, 'cohort:')) AS users,
        count(DISTINCT item_id)                                              AS items,
        count(*) FILTER (starts_with(user_id, 'cohort:'))                    AS cohort_assets
    FROM run_assets
    GROUP BY run_id
)
SELECT
    runs.logical_date,
    runs.run_id,
    runs.model_version,
    runs.planned,
    runs.generated,
    runs.reused,
    runs.rejected,
    runs.served,
    runs.skipped,
    coalesce(reach.users, 0)                                  AS users,
    coalesce(reach.items, 0)                                  AS items,
    runs.rejected / nullif(runs.served + runs.rejected, 0)    AS rejection_rate,
    quality.mean_score,
    quality.median_score,
    quality.mean_text_score,
    quality.mean_history_score,
    quality.mean_reference_score,
    coalesce(reach.cohort_assets, 0)                          AS cohort_assets
FROM runs
LEFT JOIN quality USING (run_id)
LEFT JOIN reach USING (run_id);

-- What one user is shown for one item: always one row. `origin` says whose picture it is: `own`,
-- `cohort`, `original` (then image_uri and image_sha256 are the catalogue's and there are no bytes),
-- or `unknown` where the catalogue does not know the item (then everything else is null).
CREATE OR REPLACE MACRO asset_for(user_id, item_id) AS TABLE
SELECT
    asked.asked_user                                        AS user_id,
    asked.asked_item                                        AS item_id,
    assets.image,
    coalesce(assets.image_uri, CASE WHEN assets.asset_key IS NULL THEN original.image_uri END)
                                                            AS image_uri,
    assets.format,
    coalesce(own.score, shared.score)                       AS score,
    coalesce(own.text_score, shared.text_score)             AS text_score,
    coalesce(own.history_score, shared.history_score)       AS history_score,
    assets.asset_key,
    coalesce(assets.image_sha256, original.image_sha256)    AS image_sha256,
    assets.model_version,
    assets.history_ids,
    coalesce(own.run_id, shared.run_id)                     AS run_id,
    coalesce(own.logical_date, shared.logical_date)         AS logical_date,
    CASE
        WHEN own.asset_key IS NOT NULL THEN 'own'
        WHEN shared.asset_key IS NOT NULL THEN 'cohort'
        WHEN original.item_id IS NOT NULL THEN 'original'
        ELSE 'unknown'
    END                                                     AS origin,
    CASE WHEN own.asset_key IS NULL AND shared.asset_key IS NOT NULL THEN shared.cohort END
                                                            AS cohort
FROM (SELECT user_id::VARCHAR AS asked_user, item_id::VARCHAR AS asked_item) AS asked
LEFT JOIN served_pairs AS own ON own.user_id = user_id AND own.item_id = item_id
LEFT JOIN served_cohorts AS member ON member.user_id = user_id
LEFT JOIN served_cohort_pairs AS shared ON shared.cohort = member.cohort AND shared.item_id = item_id
LEFT JOIN originals AS original ON original.item_id = item_id
-- The empty key, which no picture has, spares the search for none.
LEFT JOIN assets ON assets.asset_key = coalesce(own.asset_key, shared.asset_key, '');

-- All pictures of one user, own ones first and the best of each first: for exactly the items of these
-- rows `asset_for` gives the same picture, and for all others the original.
CREATE OR REPLACE MACRO assets_for_user(user_id) AS TABLE
WITH pictures AS (
    SELECT
        own.user_id, own.item_id, own.asset_key, own.score, own.text_score, own.history_score,
        own.run_id, own.logical_date, 'own' AS origin, NULL::VARCHAR AS cohort
    FROM served_pairs AS own
    WHERE own.user_id = user_id
    UNION ALL
    SELECT
        member.user_id, shared.item_id, shared.asset_key, shared.score, shared.text_score,
        shared.history_score, shared.run_id, shared.logical_date, 'cohort', shared.cohort
    FROM served_cohorts AS member
    JOIN served_cohort_pairs AS shared ON shared.cohort = member.cohort
    LEFT JOIN served_pairs AS own ON own.user_id = user_id AND own.item_id = shared.item_id
    WHERE member.user_id = user_id AND own.asset_key IS NULL
)
SELECT
    pictures.user_id,
    pictures.item_id,
    assets.image,
    assets.image_uri,
    assets.format,
    pictures.score,
    pictures.text_score,
    pictures.history_score,
    pictures.asset_key,
    assets.image_sha256,
    assets.model_version,
    assets.history_ids,
    pictures.run_id,
    pictures.logical_date,
    pictures.origin,
    pictures.cohort
FROM pictures
JOIN assets ON assets.asset_key = pictures.asset_key
ORDER BY pictures.origin = 'own' DESC, pictures.score DESC NULLS LAST, pictures.item_id;

-- Why each candidate pair of one user got what it got in the served night, best rank first: exactly
-- one row per pair. `decision` agrees with `asset_for`.
CREATE MACRO plan_explain(user_id) AS TABLE
SELECT
    pair.item_id,
    CASE
        WHEN drawn.origin IS NOT NULL THEN drawn.origin
        WHEN shared.asset_key IS NOT NULL THEN 'cohort'
        ELSE 'original'
    END                                                 AS decision,
    coalesce(refused.reason, pair.reason)               AS reason,
    coalesce(refused.detail, pair.detail)               AS detail,
    pair.rank,
    pair.score,
    pair.expected_views,
    pair.expected_gain,
    round(pair.expected_views * pair.expected_gain, 6)  AS priority,
    member.cohort,
    coalesce(drawn.asset_key, shared.asset_key)         AS asset_key,
    pair.run_id
FROM plan_pairs AS pair
LEFT JOIN run_assets AS drawn
    ON drawn.run_id = pair.run_id AND drawn.user_id = pair.user_id AND drawn.item_id = pair.item_id
LEFT JOIN rejections AS refused
    ON refused.run_id = pair.run_id AND refused.user_id = pair.user_id
    AND refused.item_id = pair.item_id
LEFT JOIN served_cohorts AS member ON member.user_id = pair.user_id
LEFT JOIN served_cohort_pairs AS shared
    ON shared.cohort = member.cohort AND shared.item_id = pair.item_id
WHERE pair.user_id = user_id
ORDER BY pair.rank, pair.item_id;

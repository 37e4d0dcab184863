-- What recommenders read. Views and macros live inside the file, so every DuckDB client has them.

-- One row per served (user, item) of the newest run. A night that served nothing leaves the
-- pictures of the night before in place.
CREATE VIEW served_assets AS
SELECT
    served.user_id,
    served.item_id,
    assets.image,
    assets.image_uri,
    assets.format,
    selection.value AS score,
    text.value      AS text_score,
    history.value   AS history_score,
    served.asset_key,
    assets.image_sha256,
    assets.model_version,
    assets.history_ids,
    runs.run_id,
    runs.logical_date
FROM runs
JOIN run_assets AS served ON served.run_id = runs.run_id
JOIN assets ON assets.asset_key = served.asset_key
LEFT JOIN asset_scores AS selection
    ON selection.asset_key = served.asset_key AND selection.metric = 'selection_score'
LEFT JOIN asset_scores AS text
    ON text.asset_key = served.asset_key AND text.metric = 'text_score'
LEFT JOIN asset_scores AS history
    ON history.asset_key = served.asset_key AND history.metric = 'history_score'
WHERE runs.logical_date = (SELECT max(logical_date) FROM runs WHERE served > 0);

-- One row per night: how much was made, refused and served, and how good the served pictures are.
CREATE VIEW asset_quality_daily AS
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
    SELECT run_id, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items
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
    quality.mean_reference_score
FROM runs
LEFT JOIN quality USING (run_id)
LEFT JOIN reach USING (run_id);

-- The picture of one (user, item), if one is served: at most one row.
CREATE MACRO asset_for(user_id, item_id) AS TABLE
SELECT pair.*
FROM served_assets AS pair
WHERE pair.user_id = user_id AND pair.item_id = item_id;

-- All pictures of one user, the best first.
CREATE MACRO assets_for_user(user_id) AS TABLE
SELECT pair.*
FROM served_assets AS pair
WHERE pair.user_id = user_id
ORDER BY pair.score DESC NULLS LAST, pair.item_id;

-- Keys that occur more than once in a staged night of several parts, one statement per table: table,
-- column, number of keys, and the first three of them. Each part has been checked for itself. Grouping by
-- a hash first needs a fraction of the memory of grouping by texts.
WITH suspects AS (
    SELECT hash(asset_key) AS suspect FROM staged_assets GROUP BY ALL HAVING count(*) > 1
)
SELECT 'assets', 'asset_key', count(*), min(subject, 3)
FROM (
    SELECT asset_key AS subject FROM staged_assets
    WHERE hash(asset_key) IN (FROM suspects)
    GROUP BY ALL HAVING count(*) > 1
);

WITH suspects AS (
    SELECT hash(user_id, item_id) AS suspect FROM staged_run_assets GROUP BY ALL HAVING count(*) > 1
)
SELECT 'run_assets', 'user_id', count(*), min(subject, 3)
FROM (
    SELECT concat_ws(' / ', user_id, item_id) AS subject FROM staged_run_assets
    WHERE hash(user_id, item_id) IN (FROM suspects)
    GROUP BY user_id, item_id HAVING count(*) > 1
);

WITH suspects AS (
    SELECT hash(asset_key, metric) AS suspect FROM staged_scores GROUP BY ALL HAVING count(*) > 1
)
SELECT 'scores', 'asset_key', count(*), min(subject, 3)
FROM (
    SELECT concat_ws(' / ', asset_key, metric) AS subject FROM staged_scores
    WHERE hash(asset_key, metric) IN (FROM suspects)
    GROUP BY asset_key, metric HAVING count(*) > 1
);

WITH suspects AS (
    SELECT hash(user_id, item_id) AS suspect FROM staged_rejections GROUP BY ALL HAVING count(*) > 1
)
SELECT 'rejections', 'user_id', count(*), min(subject, 3)
FROM (
    SELECT concat_ws(' / ', user_id, item_id) AS subject FROM staged_rejections
    WHERE hash(user_id, item_id) IN (FROM suspects)
    GROUP BY user_id, item_id HAVING count(*) > 1
);

WITH suspects AS (
    SELECT hash(user_id) AS suspect FROM staged_cohorts GROUP BY ALL HAVING count(*) > 1
)
SELECT 'cohorts', 'user_id', count(*), min(subject, 3)
FROM (
    SELECT user_id AS subject FROM staged_cohorts
    WHERE hash(user_id) IN (FROM suspects)
    GROUP BY ALL HAVING count(*) > 1
);

WITH suspects AS (
    SELECT hash(user_id, item_id) AS suspect FROM staged_plan_pairs GROUP BY ALL HAVING count(*) > 1
)
SELECT 'plan_pairs', 'user_id', count(*), min(subject, 3)
FROM (
    SELECT concat_ws(' / ', user_id, item_id) AS subject FROM staged_plan_pairs
    WHERE hash(user_id, item_id) IN (FROM suspects)
    GROUP BY user_id, item_id HAVING count(*) > 1
);

SELECT 'originals', 'item_id', count(*), min(subject, 3)
FROM (SELECT item_id AS subject FROM staged_originals GROUP BY ALL HAVING count(*) > 1);

SELECT 'drawing_times', 'shard', count(*), min(subject, 3)
FROM (SELECT shard::VARCHAR AS subject FROM staged_drawing_times GROUP BY shard HAVING count(*) > 1);

-- Loads the plan of a night, ordered by shard so that one shard is found without reading the others, and
-- the verdict of the newest night on each of its keys. Rejections with a reason in $failures are no
-- verdicts. `earlier` is whether a night before $before had the key already.
CREATE OR REPLACE TEMP TABLE planned AS
SELECT
    asset_key, user_id, item_id, status, priority::DOUBLE AS priority, history_ids,
    shard::INTEGER AS shard, model_version
FROM read_parquet($plan, file_row_number = true)
ORDER BY shard, file_row_number;

CREATE OR REPLACE TEMP TABLE verdicts AS
WITH wanted AS (
    SELECT DISTINCT asset_key, shard FROM planned
),
given AS (
    SELECT wanted.*, run_id, NULL::VARCHAR AS reason, NULL::VARCHAR AS detail
    FROM run_assets
    JOIN wanted USING (asset_key)
    UNION ALL
    SELECT wanted.*, run_id, reason, detail
    FROM rejections
    JOIN wanted USING (asset_key)
    WHERE NOT list_contains($failures::VARCHAR[], reason)
),
newest AS (
    SELECT
        asset_key,
        shard,
        max({'run_id': run_id, 'reason': reason, 'detail': detail}) AS verdict,
        bool_or(logical_date < $before::DATE)                       AS earlier
    FROM given
    JOIN runs USING (run_id)
    GROUP BY asset_key, shard
)
SELECT asset_key, shard, verdict.reason AS reason, verdict.detail AS detail, earlier
FROM newest
ORDER BY shard;

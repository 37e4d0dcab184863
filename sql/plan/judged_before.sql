-- Which keys a night before a date had a picture or a refusal of; wanted_keys is registered by the
-- caller.
WITH judged AS (
    SELECT asset_key, run_id FROM run_assets
    UNION ALL
    SELECT asset_key, run_id FROM rejections
)
SELECT DISTINCT judged.asset_key
FROM judged
JOIN runs USING (run_id)
JOIN wanted_keys USING (asset_key)
WHERE runs.logical_date < $before::DATE
ORDER BY judged.asset_key;

-- Keys that a night before a date has published or rejected, failures aside. The caller registers
-- `wanted_keys`.
WITH known AS (
    SELECT asset_key, run_id FROM run_assets
    UNION ALL
    SELECT asset_key, run_id FROM rejections WHERE NOT list_contains($failures::VARCHAR[], reason)
)
SELECT DISTINCT known.asset_key
FROM known
JOIN runs USING (run_id)
JOIN wanted_keys USING (asset_key)
WHERE runs.logical_date < $before::DATE
ORDER BY known.asset_key;

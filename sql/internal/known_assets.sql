-- The newest verdict on each key: an asset, or a rejection with its reason. Rejections with a reason in
-- $failures are no verdicts: the request is tried again. The caller registers `wanted_keys`.
WITH verdicts AS (
    SELECT r.asset_key, r.run_id, 'asset' AS verdict, NULL::VARCHAR AS reason, NULL::VARCHAR AS detail
    FROM run_assets AS r
    JOIN wanted_keys AS w USING (asset_key)
    UNION ALL
    SELECT j.asset_key, j.run_id, 'rejection', j.reason, j.detail
    FROM rejections AS j
    JOIN wanted_keys AS w USING (asset_key)
    WHERE NOT list_contains($failures::VARCHAR[], j.reason)
)
SELECT asset_key, verdict, reason, detail
FROM verdicts
QUALIFY row_number() OVER (PARTITION BY asset_key ORDER BY run_id DESC, reason, detail) = 1
ORDER BY asset_key;

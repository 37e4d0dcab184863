-- Stored scores of this night's keys; `held` if another night serves or rejected the picture.
WITH elsewhere AS (
    SELECT asset_key FROM run_assets WHERE run_id <> $run_id
    UNION
    SELECT asset_key FROM rejections WHERE run_id <> $run_id
)
SELECT
    s.asset_key, s.metric, s.value,
    EXISTS (SELECT 1 FROM elsewhere AS e WHERE e.asset_key = s.asset_key) AS held
FROM asset_scores AS s
SEMI JOIN night_keys USING (asset_key);

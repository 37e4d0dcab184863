-- Every score of the pictures that one night serves or rejected.
WITH gated AS (
    SELECT asset_key, 'served' AS outcome FROM run_assets WHERE run_id = $run_id
    UNION
    SELECT asset_key, 'rejected' FROM rejections WHERE run_id = $run_id
)
SELECT gated.outcome, scores.asset_key, scores.metric, scores.value
FROM gated
JOIN asset_scores AS scores USING (asset_key)
ORDER BY gated.outcome, scores.metric, scores.asset_key;

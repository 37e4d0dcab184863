-- Every score of the pictures that one run serves or refused.
WITH judged AS (
    SELECT asset_key, 'served' AS outcome FROM run_assets WHERE run_id = $run_id
    UNION
    SELECT asset_key, 'rejected' FROM rejections WHERE run_id = $run_id
)
SELECT judged.outcome, scores.asset_key, scores.metric, scores.value
FROM judged
JOIN asset_scores AS scores USING (asset_key)
ORDER BY judged.outcome, scores.metric, scores.asset_key;

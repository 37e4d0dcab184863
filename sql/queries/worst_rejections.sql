-- The twenty refused pictures that were furthest from good, the newest night first.
SELECT
    runs.logical_date,
    refused.user_id,
    refused.item_id,
    refused.reason,
    refused.detail,
    score.value AS score,
    refused.asset_key
FROM rejections AS refused
JOIN runs USING (run_id)
LEFT JOIN asset_scores AS score
    ON score.asset_key = refused.asset_key AND score.metric = 'selection_score'
ORDER BY runs.logical_date DESC, score.value NULLS FIRST, refused.user_id, refused.item_id
LIMIT 20;

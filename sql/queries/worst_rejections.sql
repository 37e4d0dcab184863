-- The twenty rejected pictures with the lowest scores, newest night first.
SELECT
    runs.logical_date,
    rejected.user_id,
    rejected.item_id,
    rejected.reason,
    rejected.detail,
    score.value AS score,
    rejected.asset_key
FROM rejections AS rejected
JOIN runs USING (run_id)
LEFT JOIN asset_scores AS score
    ON score.asset_key = rejected.asset_key AND score.metric = 'selection_score'
ORDER BY runs.logical_date DESC, score.value NULLS FIRST, rejected.user_id, rejected.item_id
LIMIT 20;

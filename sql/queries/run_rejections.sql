-- The pairs that one night rejected, with reason and detail.
SELECT user_id, item_id, asset_key, reason, detail
FROM rejections
WHERE run_id = $run_id
ORDER BY reason, user_id, item_id;

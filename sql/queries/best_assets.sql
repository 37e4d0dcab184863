-- The ten best pictures of the served night that were drawn for a single user.
SELECT user_id, item_id, score, text_score, history_score, format, octet_length(image) AS bytes
FROM served_assets
WHERE NOT starts_with(user_id, 'cohort:')
ORDER BY score DESC NULLS LAST, user_id, item_id
LIMIT 10;

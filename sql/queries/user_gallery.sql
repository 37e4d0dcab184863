-- The pictures served to one user, best first.
SELECT item_id, image, format, score, text_score, history_score, history_ids, logical_date
FROM assets_for_user($user_id);

SELECT * FROM served_assets ORDER BY user_id, score DESC NULLS LAST, item_id;

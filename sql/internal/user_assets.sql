SELECT * FROM assets_for_user($user_id);

SELECT * FROM asset_for($user_id, $item_id);

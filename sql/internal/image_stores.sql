SELECT address FROM image_stores ORDER BY address;

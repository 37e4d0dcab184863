-- Pictures outside the table that this night refers to: `gc` keeps them as long as the night is mirrored.
SELECT DISTINCT image_uri FROM served_assets WHERE image_uri IS NOT NULL;

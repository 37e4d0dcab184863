-- Addresses of the pictures whose bytes are not in the table.
SELECT DISTINCT image_uri FROM assets WHERE image IS NULL AND image_uri IS NOT NULL;

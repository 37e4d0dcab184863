-- Replaces the bytes of stored pictures, inside the caller's transaction. The caller registers
-- `night_assets` and lists them by list_generated.
UPDATE assets
SET
    image = marked.image,
    image_uri = marked.image_uri,
    image_sha256 = marked.image_sha256,
    byte_size = marked.byte_size,
    marking = marked.marking,
    drawn_sha256 = marked.drawn_sha256
FROM night_assets AS marked
WHERE marked.asset_key = assets.asset_key;

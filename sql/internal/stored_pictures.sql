-- Every picture with what its record says of the bytes.
SELECT asset_key, image, image_uri, image_sha256, format, width, height, byte_size
FROM assets;

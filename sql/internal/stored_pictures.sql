-- Every picture with the recorded facts about its bytes.
SELECT
    asset_key, image, image_uri, image_sha256, format, width, height, byte_size, marking, drawn_sha256,
    model_version
FROM assets;

-- Pictures to be marked again, with the hash of each as it was drawn. The caller registers `wanted_keys`.
SELECT
    asset_key, image, image_uri, image_sha256, coalesce(drawn_sha256, image_sha256) AS drawn_sha256,
    format, model_version
FROM assets
SEMI JOIN wanted_keys USING (asset_key)
ORDER BY asset_key;

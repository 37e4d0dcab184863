-- Stored pictures of this night's keys, with the hash of each as it was drawn. `held` pictures are served by another night as well and must
-- not change.
SELECT
    a.asset_key, a.user_id, a.item_id, a.image_uri,
    coalesce(a.drawn_sha256, a.image_sha256) AS image_sha256,
    a.format, a.width, a.height, a.mask_ratio, a.seed, a.model_version, a.history_ids,
    EXISTS (
        SELECT 1 FROM run_assets AS r WHERE r.asset_key = a.asset_key AND r.run_id <> $run_id
    ) AS held
FROM assets AS a
SEMI JOIN night_keys USING (asset_key);

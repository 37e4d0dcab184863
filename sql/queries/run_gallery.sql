-- Everything that one night serves, by user, with the pictures.
SELECT
    served.user_id,
    served.user_id IN (SELECT cohort FROM cohorts WHERE run_id = $run_id) AS of_cohort,
    served.item_id,
    served.asset_key,
    served.origin,
    served.priority,
    assets.first_run_id,
    assets.image,
    assets.image_uri,
    assets.format,
    assets.width,
    assets.height,
    assets.mask_ratio,
    assets.history_ids
FROM run_assets AS served
JOIN assets USING (asset_key)
WHERE served.run_id = $run_id
ORDER BY served.user_id, served.priority DESC, served.item_id;

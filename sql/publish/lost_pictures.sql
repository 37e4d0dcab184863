-- Served keys whose picture is neither staged nor stored: how many, and the first three.
SELECT count(*), min(asset_key, 3)
FROM (
    SELECT DISTINCT asset_key
    FROM staged_run_assets
    ANTI JOIN staged_assets USING (asset_key)
    ANTI JOIN stored_pictures USING (asset_key)
);

-- The rows of an import with what is wrong about their pictures. A key that is in an earlier exposure
-- stays known when its night is removed.
CREATE OR REPLACE TEMP TABLE given AS
WITH known AS (
    SELECT asset_key, min(item_id) AS item_id
    FROM (
        SELECT asset_key, item_id FROM night_assets
        UNION ALL
        SELECT asset_key, item_id FROM exposures WHERE asset_key IS NOT NULL
    )
    GROUP BY asset_key
)
SELECT
    given.*,
    CASE
        WHEN given.asset_key IS NULL THEN NULL
        WHEN known.asset_key IS NULL THEN 'the asset key is unknown'
        WHEN known.item_id <> given.item_id THEN 'the asset is a picture of another item'
    END AS fault
FROM read_parquet($file) AS given
LEFT JOIN known USING (asset_key);

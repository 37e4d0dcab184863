-- Identity and file of the warehouse, and whether it has ever stored pictures at $address.
SELECT
    (SELECT id FROM warehouse_identity) AS id,
    (SELECT path FROM duckdb_databases() WHERE database_name = current_database()) AS path,
    EXISTS (SELECT 1 FROM image_stores WHERE address = $address)
        OR EXISTS (SELECT 1 FROM assets WHERE starts_with(image_uri, $address || '/')) AS stored_there;

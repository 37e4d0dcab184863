-- The rows of `assets` to write, with the pictures as they were drawn. After resolve.sql.
CREATE OR REPLACE TEMP VIEW night_assets AS
SELECT
    * REPLACE (NULL::VARCHAR AS image_uri),
    octet_length(image)::BIGINT AS byte_size,
    NULL::VARCHAR               AS marking,
    NULL::VARCHAR               AS drawn_sha256
FROM staged_assets ANTI JOIN (FROM stored_pictures WHERE kept) USING (asset_key);

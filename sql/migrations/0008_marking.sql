-- Marks of generated pictures, and an answer to "is this picture generated?" that outlives the night.

-- How the stored bytes are marked (`metadata` or `c2pa`), and the hash of the picture as it was drawn.
-- Both are null where the stored bytes are the drawn ones.
ALTER TABLE assets ADD COLUMN marking VARCHAR;
ALTER TABLE assets ADD COLUMN drawn_sha256 VARCHAR;

-- One row per picture file that was ever served or marked: `digest` is the SHA-256 of the text of its
-- SHA-256. Rows are never removed, so they name no user, item, night or key: nothing leads from a row to
-- a person, and only one who has the picture can look it up.
CREATE TABLE generated_pictures (
    digest        BLOB NOT NULL,
    marking       VARCHAR,
    model_version VARCHAR NOT NULL
);
INSERT INTO generated_pictures
SELECT unhex(sha256(image_sha256)), NULL, min(model_version) FROM assets GROUP BY image_sha256;

-- Whether a file with this SHA-256 is a picture of this warehouse, before or after marking: always one
-- row. `asset_key` is null once no night has the picture any more.
CREATE MACRO is_generated(sha256) AS TABLE
SELECT
    found.lookup_sha256     AS sha256,
    found.known IS NOT NULL AS generated,
    found.known.marking,
    found.known.model_version,
    found.asset_key
FROM (
    -- Subqueries, since DuckDB 1.4 has no left join for LATERAL.
    SELECT
        lower(sha256::VARCHAR) AS lookup_sha256,
        (
            SELECT any_value({'marking': g.marking, 'model_version': g.model_version})
            FROM generated_pictures AS g
            WHERE g.digest = unhex(sha256(lower(sha256::VARCHAR)))
        ) AS known,
        (
            SELECT min(a.asset_key)
            FROM assets AS a
            WHERE lower(sha256::VARCHAR) IN (a.image_sha256, a.drawn_sha256)
        ) AS asset_key
) AS found;

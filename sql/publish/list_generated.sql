-- Lists pictures as they are stored and as they were drawn, so that one who has such a file can ask for it
-- at any later time. The caller makes `night_assets` readable.
INSERT INTO generated_pictures BY NAME
SELECT digest, any_value(marking) AS marking, min(model_version) AS model_version
FROM (
    SELECT unhex(sha256(image_sha256)) AS digest, marking, model_version FROM night_assets
    UNION ALL
    SELECT unhex(sha256(drawn_sha256)), NULL, model_version
    FROM night_assets
    WHERE drawn_sha256 IS NOT NULL
)
ANTI JOIN generated_pictures AS known USING (digest)
GROUP BY digest
ORDER BY digest;

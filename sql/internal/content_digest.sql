-- One line per table: its number of rows and two sums over the row hashes that do not depend on the
-- order of rows. Wall-clock columns are left out, so that equal content gives equal lines; image
-- bytes are hashed again, so that a damaged picture changes the digest. `warehouse_identity` differs
-- between warehouses of equal content and is left out. Add every other new table here.
WITH rows_of AS (
    SELECT 'schema_migrations' AS part, to_json(r)::VARCHAR AS content
    FROM (SELECT * EXCLUDE (applied_at) FROM schema_migrations) AS r
    UNION ALL
    SELECT 'runs', to_json(r)::VARCHAR FROM (SELECT * EXCLUDE (published_at) FROM runs) AS r
    UNION ALL
    SELECT 'assets', to_json(r)::VARCHAR
    FROM (SELECT * REPLACE (sha256(image) AS image) FROM assets) AS r
    UNION ALL
    SELECT 'run_assets', to_json(r)::VARCHAR FROM run_assets AS r
    UNION ALL
    SELECT 'asset_scores', to_json(r)::VARCHAR FROM asset_scores AS r
    UNION ALL
    SELECT 'rejections', to_json(r)::VARCHAR FROM rejections AS r
    UNION ALL
    SELECT 'problems', to_json(r)::VARCHAR FROM problems AS r
    UNION ALL
    SELECT 'served_pairs', to_json(r)::VARCHAR FROM served_pairs AS r
    UNION ALL
    SELECT 'image_stores', to_json(r)::VARCHAR FROM image_stores AS r
    UNION ALL
    SELECT 'cohorts', to_json(r)::VARCHAR FROM cohorts AS r
    UNION ALL
    SELECT 'plan_pairs', to_json(r)::VARCHAR FROM plan_pairs AS r
    UNION ALL
    SELECT 'originals', to_json(r)::VARCHAR FROM originals AS r
    UNION ALL
    SELECT 'served_cohorts', to_json(r)::VARCHAR FROM served_cohorts AS r
    UNION ALL
    SELECT 'served_cohort_pairs', to_json(r)::VARCHAR FROM served_cohort_pairs AS r
    UNION ALL
    SELECT 'generated_pictures', concat(hex(digest), ' ', marking, ' ', model_version)
    FROM generated_pictures -- a long table, without the cost of JSON
    UNION ALL
    SELECT 'models', to_json(r)::VARCHAR
    FROM (
        SELECT
            * EXCLUDE (created_at, promoted_at),
            version IS NOT DISTINCT FROM (SELECT version FROM serving_model) AS serving
        FROM models
    ) AS r
)
SELECT
    part,
    count(*)                                            AS row_count,
    bit_xor(md5_number_lower(content))::VARCHAR         AS xor_sum,
    sum(md5_number_upper(content)::HUGEINT)::VARCHAR    AS plain_sum
FROM rows_of
GROUP BY part
ORDER BY part;

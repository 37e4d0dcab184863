-- One line per table: how many rows, and two order-free sums over the hash of every row. Wall-clock
-- columns are left out, so equal content has equal lines; image bytes are hashed anew, so a damaged
-- picture shows. A new table must be added here.
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
    bit_xor(md5_number_lower(content))::VARCHAR         AS crossed,
    sum(md5_number_upper(content)::HUGEINT)::VARCHAR    AS summed
FROM rows_of
GROUP BY part
ORDER BY part;

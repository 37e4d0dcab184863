-- One line per table of a resolved night: its number of rows, and two sums over the 128-bit hashes of its
-- rows. Sums depend on no order of rows and need no memory. Locations of pictures and drawing times are
-- no content. After row_text.sql.
WITH rows_of AS (
    SELECT
        'pictures' AS part,
        concat(
            framed(asset_key), framed(user_id), framed(item_id), framed(image_sha256), framed(format),
            width, ' ', height, ' ', bits(mask_ratio), ' ', seed, ' ', framed(model_version),
            framed_list(history_ids)
        ) AS content
    FROM night_pictures
    UNION ALL
    SELECT
        'run_assets',
        concat(framed(user_id), framed(item_id), framed(asset_key), framed(origin), bits(priority))
    FROM night_run_assets
    UNION ALL
    SELECT 'scores', concat(framed(asset_key), framed(metric), bits(value)) FROM night_scores
    UNION ALL
    SELECT
        'rejections',
        concat(framed(user_id), framed(item_id), framed(asset_key), framed(reason), framed(detail))
    FROM staged_rejections
    UNION ALL
    SELECT 'problems', concat(framed(kind), framed(subject), framed(location), framed(message))
    FROM staged_problems
    UNION ALL
    SELECT 'cohorts', concat(framed(user_id), framed(cohort)) FROM staged_cohorts
    UNION ALL
    SELECT
        'plan_pairs',
        concat(
            framed(user_id), framed(item_id), rank, ' ', bits(score), ' ', bits(expected_views), ' ',
            bits(expected_gain), ' ', framed(reason), framed(detail)
        )
    FROM staged_plan_pairs
    UNION ALL
    SELECT 'originals', concat(framed(item_id), framed(image_uri), framed(image_sha256))
    FROM staged_originals
),
hashed AS (
    SELECT part, md5_number(content) AS number FROM rows_of
)
SELECT
    part,
    count(*)                                                                AS row_count,
    sum((number >> 64)::UBIGINT::HUGEINT)::VARCHAR                          AS upper_sum,
    sum((number & 18446744073709551615::UHUGEINT)::UBIGINT::HUGEINT)::VARCHAR AS lower_sum
FROM hashed
GROUP BY part
ORDER BY part;

-- Macros over one mirrored night, for any DuckDB client. First set the variable `night` to the folder
-- that current.json names (docs/warehouse.md), then run this file; set it again to move on to the next
-- night. The arguments must be literals or bound parameters: they choose the files that are read.

-- The picture one user is shown for one item: always one row, as `asset_for` of the warehouse has it.
CREATE OR REPLACE TEMP MACRO asset_for(user_id, item_id) AS TABLE
WITH own AS (
    SELECT pair.* FROM read_parquet(
        getvariable('night') || '/served_assets/bucket='
        || (('0x' || left(md5(user_id), 8))::BIGINT % /* buckets */ 16) || '/*.parquet'
    ) AS pair
    WHERE pair.user_id = user_id AND pair.item_id = item_id
),
member AS (
    SELECT pair.* FROM read_parquet(
        getvariable('night') || '/served_cohorts/bucket='
        || (('0x' || left(md5(user_id), 8))::BIGINT % /* buckets */ 16) || '/*.parquet'
    ) AS pair
    WHERE pair.user_id = user_id
),
shared AS (
    SELECT pair.* FROM read_parquet(getvariable('night') || '/cohort_assets/*.parquet') AS pair
    WHERE pair.item_id = item_id
),
original AS (
    SELECT item.* FROM read_parquet(getvariable('night') || '/originals/*.parquet') AS item
    WHERE item.item_id = item_id
)
SELECT
    lookup.lookup_user                                      AS user_id,
    lookup.lookup_item                                      AS item_id,
    CASE WHEN own.asset_key IS NOT NULL THEN own.image ELSE shared.image END
                                                            AS image,
    CASE
        WHEN own.asset_key IS NOT NULL THEN own.image_uri
        WHEN shared.asset_key IS NOT NULL THEN shared.image_uri
        ELSE original.image_uri
    END                                                     AS image_uri,
    coalesce(own.format, shared.format)                     AS format,
    coalesce(own.score, shared.score)                       AS score,
    coalesce(own.text_score, shared.text_score)             AS text_score,
    coalesce(own.history_score, shared.history_score)       AS history_score,
    coalesce(own.asset_key, shared.asset_key)               AS asset_key,
    coalesce(own.image_sha256, shared.image_sha256, original.image_sha256)
                                                            AS image_sha256,
    coalesce(own.model_version, shared.model_version)       AS model_version,
    coalesce(own.history_ids, shared.history_ids)           AS history_ids,
    coalesce(own.run_id, shared.run_id)                     AS run_id,
    coalesce(own.logical_date, shared.logical_date)         AS logical_date,
    CASE
        WHEN own.asset_key IS NOT NULL THEN 'own'
        WHEN shared.asset_key IS NOT NULL THEN 'cohort'
        WHEN original.item_id IS NOT NULL THEN 'original'
        ELSE 'unknown'
    END                                                     AS origin,
    CASE WHEN own.asset_key IS NULL AND shared.asset_key IS NOT NULL THEN shared.cohort END
                                                            AS cohort
FROM (SELECT user_id::VARCHAR AS lookup_user, item_id::VARCHAR AS lookup_item) AS lookup
LEFT JOIN own ON true
LEFT JOIN member ON true
LEFT JOIN shared ON shared.cohort = member.cohort
LEFT JOIN original ON true;

-- Extent and size of the warehouse, in one row.
SELECT
    (SELECT max(version) FROM schema_migrations)                        AS schema_version,
    (SELECT count(*) FROM runs)                                         AS nights,
    (SELECT min(logical_date) FROM runs)                                AS first_night,
    (SELECT max(logical_date) FROM runs)                                AS last_night,
    (SELECT max(logical_date) FROM served_pairs)                        AS served_night,
    (SELECT count(*) FROM served_pairs)                                 AS served_pairs,
    count(*)                                                            AS pictures,
    coalesce(sum(byte_size) FILTER (image IS NOT NULL), 0)::BIGINT      AS bytes_in_table,
    coalesce(sum(byte_size) FILTER (image IS NULL), 0)::BIGINT          AS bytes_outside,
    (SELECT list(address ORDER BY address) FROM image_stores)           AS stores
FROM assets;

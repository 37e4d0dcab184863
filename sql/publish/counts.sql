-- Served pairs by origin, and rejections, of a resolved night.
SELECT
    count(*) FILTER (origin = 'generated')          AS generated,
    count(*) FILTER (origin = 'reused')             AS reused,
    (SELECT count(*) FROM staged_rejections)        AS rejected
FROM night_run_assets;

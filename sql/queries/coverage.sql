-- How many planned pairs, users and items each night got a picture.
SELECT
    logical_date,
    run_id,
    planned,
    served,
    rejected,
    skipped,
    served / nullif(planned, 0)    AS served_share,
    users,
    items,
    (served - cohort_assets) / nullif(users, 0) AS assets_per_user,
    cohort_assets
FROM asset_quality_daily
ORDER BY logical_date DESC;

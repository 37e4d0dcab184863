-- Planned pairs, users and items that got a picture, per night.
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

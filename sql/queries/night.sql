-- The newest night in one row; of what is served, `cohort_assets` belong to cohorts and not to users.
SELECT
    logical_date, model_version, planned, generated, reused, rejected, served, users, cohort_assets,
    mean_score
FROM asset_quality_daily
ORDER BY logical_date DESC
LIMIT 1;

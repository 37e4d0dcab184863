-- The newest night in one row. `cohort_assets` of the served pictures belong to cohorts, not to users.
SELECT
    logical_date, model_version, planned, generated, reused, rejected, served, users, cohort_assets,
    mean_score
FROM asset_quality_daily
ORDER BY logical_date DESC
LIMIT 1;

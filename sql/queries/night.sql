-- The newest night in one row.
SELECT logical_date, model_version, planned, generated, reused, rejected, served, users, mean_score
FROM asset_quality_daily
ORDER BY logical_date DESC
LIMIT 1;

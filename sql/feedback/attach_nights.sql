-- What the import looks up in the served snapshot: its pictures, and the cohorts of every night.
ATTACH $nights AS nights (TYPE duckdb, READ_ONLY);
CREATE TEMP VIEW night_assets AS SELECT asset_key, item_id FROM nights.assets;
CREATE TEMP VIEW night_cohorts AS
SELECT member.user_id, member.cohort, runs.logical_date
FROM nights.cohorts AS member
JOIN nights.runs AS runs USING (run_id);

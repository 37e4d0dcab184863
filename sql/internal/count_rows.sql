-- Number of rows of the tables that hold users, by name.
SELECT 'run_assets' AS name, count(*) AS row_count FROM run_assets
UNION ALL SELECT 'rejections', count(*) FROM rejections
UNION ALL SELECT 'plan_pairs', count(*) FROM plan_pairs
UNION ALL SELECT 'cohorts', count(*) FROM cohorts
UNION ALL SELECT 'problems', count(*) FROM problems
UNION ALL SELECT 'assets', count(*) FROM assets;

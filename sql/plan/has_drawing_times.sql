-- Whether this file's schema is new enough to have measured anything.
SELECT count(*) > 0
FROM duckdb_tables()
WHERE database_name = current_database() AND table_name = 'drawing_times';

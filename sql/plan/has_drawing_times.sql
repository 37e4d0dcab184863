-- Whether the schema of this file is new enough to have drawing times.
SELECT count(*) > 0
FROM duckdb_tables()
WHERE database_name = current_database() AND table_name = 'drawing_times';

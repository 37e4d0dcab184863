-- Whether this file has any table or view, ours or not.
SELECT
    (SELECT count(*) FROM duckdb_tables() WHERE database_name = current_database() AND NOT internal)
    + (SELECT count(*) FROM duckdb_views() WHERE database_name = current_database() AND NOT internal) > 0;

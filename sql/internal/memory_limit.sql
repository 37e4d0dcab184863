-- How much memory DuckDB may use; what needs more is spilled.
SET memory_limit = $limit;

-- Settings of every connection: dates do not depend on the machine's time zone, a name in SQL never
-- resolves to a Python variable, and DuckDB draws no progress bar of its own.
SET TimeZone = 'UTC';
SET python_enable_replacements = false;
SET enable_progress_bar = false;

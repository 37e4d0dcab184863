-- Makes the exposures readable for one query, beside the served tables.
ATTACH $file AS feedback (TYPE duckdb, READ_ONLY);
CREATE TEMP VIEW exposures AS FROM feedback.exposures;

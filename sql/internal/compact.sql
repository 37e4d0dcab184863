-- Copies all tables, views, macros and indexes of a database into a new file. The checkpoint removes
-- the write-ahead log, which DuckDB would otherwise apply to the new file after the rename.
ATTACH $old_file AS old_file;
CHECKPOINT old_file;
ATTACH $new_file AS new_file (STORAGE_VERSION 'v1.2.0');
COPY FROM DATABASE old_file TO new_file;

-- Opens a file read-only in an instance that no other connection of the process shares. Without a
-- folder for temporary files it never writes to the disk.
SET temp_directory = '';
ATTACH $file AS warehouse (TYPE duckdb, READ_ONLY);
USE warehouse;

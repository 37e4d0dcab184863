-- Copies a database with all its tables, views, macros and indexes into a new file. The checkpoint
-- leaves no write-ahead log that the new file could be taken to own.
ATTACH $worn AS worn;
CHECKPOINT worn;
ATTACH $fresh AS fresh (STORAGE_VERSION 'v1.2.0');
COPY FROM DATABASE worn TO fresh;

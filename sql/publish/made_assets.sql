-- The rows of `assets` to write, from the files that hold them marked or with their locations.
SET VARIABLE night_assets = $files;
CREATE OR REPLACE TEMP VIEW night_assets AS FROM read_parquet(getvariable('night_assets'));

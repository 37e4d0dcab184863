-- Removes what resolve.sql made.
DROP VIEW IF EXISTS night_assets;
DROP VIEW night_scores;
DROP VIEW night_pictures;
DROP VIEW new_scores;
DROP VIEW night_run_assets;
DROP TABLE generated_before;
DROP TABLE stored_scores;
DROP TABLE stored_pictures;

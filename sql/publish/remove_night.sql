-- First step of writing a night, inside the caller's transaction and after resolve.sql: deletes its own
-- rows, and the stored pictures and scores that it brings anew.
DELETE FROM problems WHERE run_id = $run_id;
DELETE FROM rejections WHERE run_id = $run_id;
DELETE FROM run_assets WHERE run_id = $run_id;
DELETE FROM runs WHERE run_id = $run_id;

DELETE FROM asset_scores
WHERE asset_key IN (SELECT asset_key FROM stored_scores WHERE drawn AND NOT kept);
DELETE FROM assets
WHERE asset_key IN (SELECT asset_key FROM stored_pictures WHERE drawn AND NOT kept);

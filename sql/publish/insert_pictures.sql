-- Writes some pictures of a night. The caller registers `new_assets`, and has written the pictures that lie
-- outside the table to $store, which is null without one.
INSERT INTO assets BY NAME
SELECT *, $run_id AS first_run_id FROM new_assets;

INSERT OR IGNORE INTO image_stores
SELECT $store::VARCHAR WHERE $store IS NOT NULL;

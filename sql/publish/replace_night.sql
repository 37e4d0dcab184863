-- Replaces one night, inside the caller's transaction. The caller registers the night_* frames,
-- checked and resolved against other nights, and has written the pictures that lie outside the table.

-- 1. Delete the night's own rows.
DELETE FROM problems WHERE run_id = $run_id;
DELETE FROM rejections WHERE run_id = $run_id;
DELETE FROM run_assets WHERE run_id = $run_id;
DELETE FROM runs WHERE run_id = $run_id;

-- 2. Delete stored pictures and scores that the night brings again.
DELETE FROM asset_scores WHERE asset_key IN (SELECT asset_key FROM night_scores);
DELETE FROM assets WHERE asset_key IN (SELECT asset_key FROM night_assets);

-- 3. Insert the night's rows.
INSERT INTO assets BY NAME
SELECT *, $run_id AS first_run_id FROM night_assets;

INSERT OR IGNORE INTO image_stores
SELECT address FROM night_stores;

INSERT INTO asset_scores BY NAME
SELECT * FROM night_scores;

INSERT INTO run_assets BY NAME
SELECT $run_id AS run_id, * FROM night_run_assets;

INSERT INTO rejections BY NAME
SELECT $run_id AS run_id, * FROM night_rejections;

INSERT INTO problems BY NAME
SELECT $run_id AS run_id, * FROM night_problems;

INSERT INTO runs BY NAME
SELECT
    $run_id AS run_id,
    $logical_date::DATE AS logical_date,
    $model_version AS model_version,
    $settings_hash AS settings_hash,
    $seed::BIGINT AS seed,
    $config::JSON AS config,
    $planned::BIGINT AS planned,
    $generated::BIGINT AS generated,
    $reused::BIGINT AS reused,
    $rejected::BIGINT AS rejected,
    $served::BIGINT AS served,
    $skipped::BIGINT AS skipped,
    $content_sha256 AS content_sha256,
    $published_at::TIMESTAMPTZ AS published_at;

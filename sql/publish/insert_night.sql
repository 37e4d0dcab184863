-- Writes the rows of a resolved night. Pictures outside the table have been written to $store, which is
-- null without one.
INSERT INTO assets BY NAME
SELECT *, $run_id AS first_run_id FROM night_assets;

INSERT OR IGNORE INTO image_stores
SELECT $store::VARCHAR WHERE $store IS NOT NULL AND EXISTS (FROM night_assets);

INSERT INTO asset_scores BY NAME
SELECT * FROM new_scores;

INSERT INTO run_assets BY NAME
SELECT $run_id AS run_id, * FROM night_run_assets;

INSERT INTO rejections BY NAME
SELECT $run_id AS run_id, * FROM staged_rejections;

INSERT INTO problems BY NAME
SELECT $run_id AS run_id, * FROM staged_problems;

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
    $generated::BIGINT + $reused::BIGINT AS served,
    $skipped::BIGINT AS skipped,
    $content_sha256 AS content_sha256,
    $published_at::TIMESTAMPTZ AS published_at;

-- Writes the other rows of a resolved night, after its pictures.
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

-- The pictures that were written, for list_generated.
CREATE OR REPLACE TEMP VIEW night_assets AS
SELECT image_sha256, drawn_sha256, marking, model_version
FROM assets
SEMI JOIN (
    FROM staged_assets ANTI JOIN (FROM stored_pictures WHERE kept) USING (asset_key)
) USING (asset_key);

-- Keys that an earlier publication of the same night generated.
SELECT DISTINCT asset_key FROM run_assets WHERE run_id = $run_id AND origin = 'generated';

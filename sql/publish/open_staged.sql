-- Makes the parquet files of a staged night readable by name. The files are lists in variables, which
-- views read when they are used.
SET VARIABLE staged_assets = $assets;
SET VARIABLE staged_run_assets = $run_assets;
SET VARIABLE staged_scores = $scores;
SET VARIABLE staged_rejections = $rejections;
SET VARIABLE staged_problems = $problems;
SET VARIABLE staged_cohorts = $cohorts;
SET VARIABLE staged_plan_pairs = $plan_pairs;
SET VARIABLE staged_originals = $originals;
SET VARIABLE staged_drawing_times = $drawing_times;

CREATE OR REPLACE TEMP VIEW staged_assets AS FROM read_parquet(getvariable('staged_assets'));
CREATE OR REPLACE TEMP VIEW staged_run_assets AS FROM read_parquet(getvariable('staged_run_assets'));
CREATE OR REPLACE TEMP VIEW staged_scores AS FROM read_parquet(getvariable('staged_scores'));
CREATE OR REPLACE TEMP VIEW staged_rejections AS FROM read_parquet(getvariable('staged_rejections'));
CREATE OR REPLACE TEMP VIEW staged_problems AS FROM read_parquet(getvariable('staged_problems'));
CREATE OR REPLACE TEMP VIEW staged_cohorts AS FROM read_parquet(getvariable('staged_cohorts'));
CREATE OR REPLACE TEMP VIEW staged_plan_pairs AS FROM read_parquet(getvariable('staged_plan_pairs'));
CREATE OR REPLACE TEMP VIEW staged_originals AS FROM read_parquet(getvariable('staged_originals'));
CREATE OR REPLACE TEMP VIEW staged_drawing_times AS FROM read_parquet(getvariable('staged_drawing_times'));

-- Undoes open_staged.
DROP VIEW IF EXISTS staged_assets;
DROP VIEW IF EXISTS staged_run_assets;
DROP VIEW IF EXISTS staged_scores;
DROP VIEW IF EXISTS staged_rejections;
DROP VIEW IF EXISTS staged_problems;
DROP VIEW IF EXISTS staged_cohorts;
DROP VIEW IF EXISTS staged_plan_pairs;
DROP VIEW IF EXISTS staged_originals;
DROP VIEW IF EXISTS staged_drawing_times;

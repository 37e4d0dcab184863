-- Counts, settings and model of one night.
SELECT * FROM runs WHERE run_id = $run_id;

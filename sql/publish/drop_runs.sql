-- Removes whole nights, inside the caller's transaction; expired_runs is registered by the caller.
DELETE FROM problems WHERE run_id IN (SELECT run_id FROM expired_runs);
DELETE FROM rejections WHERE run_id IN (SELECT run_id FROM expired_runs);
DELETE FROM run_assets WHERE run_id IN (SELECT run_id FROM expired_runs);
DELETE FROM runs WHERE run_id IN (SELECT run_id FROM expired_runs);

-- Deletes whole nights, inside the caller's transaction. The caller registers `expired_runs`.
DELETE FROM problems WHERE run_id IN (SELECT run_id FROM expired_runs);
DELETE FROM rejections WHERE run_id IN (SELECT run_id FROM expired_runs);
DELETE FROM run_assets WHERE run_id IN (SELECT run_id FROM expired_runs);
DELETE FROM runs WHERE run_id IN (SELECT run_id FROM expired_runs);

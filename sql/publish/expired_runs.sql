-- Nights more than $keep_days days older than the newest one, without the night that readers get.
SELECT run_id
FROM runs
WHERE logical_date < (SELECT max(logical_date) FROM runs) - $keep_days::INTEGER
  AND logical_date IS DISTINCT FROM (SELECT max(logical_date) FROM runs WHERE served > 0)
ORDER BY run_id;

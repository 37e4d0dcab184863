-- Nights more than $keep_days days older than the newest one up to $latest. Nights beyond $latest are in
-- the future. Kept are the night that readers get, and the one they would get without future nights.
WITH present AS (
    SELECT logical_date, served FROM runs WHERE logical_date <= $latest::DATE
)
SELECT run_id
FROM runs
WHERE logical_date < (SELECT max(logical_date) FROM present) - $keep_days::INTEGER
  AND logical_date IS DISTINCT FROM (SELECT max(logical_date) FROM runs WHERE served > 0)
  AND logical_date IS DISTINCT FROM (SELECT max(logical_date) FROM present WHERE served > 0)
ORDER BY run_id;

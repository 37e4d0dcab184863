-- What every change of the nights ends with, inside its transaction.

-- 1. Readers get the newest night that serves anything.
DELETE FROM served_pairs;

INSERT INTO served_pairs BY NAME
SELECT * FROM newest_pairs ORDER BY user_id, item_id;

-- 2. Cohorts and plan go with their night; of the plan only the served night's is kept.
DELETE FROM cohorts WHERE run_id NOT IN (SELECT run_id FROM runs);

DELETE FROM drawing_times WHERE run_id NOT IN (SELECT run_id FROM runs);

DELETE FROM plan_pairs
WHERE run_id IS DISTINCT FROM (
    SELECT run_id FROM runs WHERE served > 0 ORDER BY logical_date DESC LIMIT 1
);

DELETE FROM served_cohorts;

INSERT INTO served_cohorts BY NAME
SELECT * FROM newest_cohorts ORDER BY user_id;

DELETE FROM served_cohort_pairs;

INSERT INTO served_cohort_pairs BY NAME
SELECT * FROM newest_cohort_pairs ORDER BY cohort, item_id;

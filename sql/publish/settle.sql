-- Last step of every change to the nights, inside its transaction.

-- 1. Serve the newest night that has anything to serve.
DELETE FROM served_pairs;

INSERT INTO served_pairs BY NAME
SELECT * FROM newest_pairs ORDER BY user_id, item_id;

-- 2. Delete cohorts and drawing times without a night, and every plan but that of the served night.
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

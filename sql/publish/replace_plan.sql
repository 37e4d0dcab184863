-- Replaces the plan and the cohorts of a night, inside the caller's transaction and after insert_night.

DELETE FROM cohorts WHERE run_id = $run_id;
INSERT INTO cohorts BY NAME
SELECT $run_id AS run_id, * FROM staged_cohorts;

DELETE FROM plan_pairs WHERE run_id = $run_id;
INSERT INTO plan_pairs BY NAME
SELECT $run_id AS run_id, * FROM staged_plan_pairs ORDER BY user_id, rank, item_id;

-- The catalogue is kept in its newest version only, for all nights.
DELETE FROM originals
WHERE (item_id, image_uri, image_sha256) NOT IN (
    SELECT (item_id, image_uri, image_sha256) FROM staged_originals
);
INSERT INTO originals BY NAME
SELECT * FROM staged_originals ANTI JOIN originals USING (item_id) ORDER BY item_id;

-- The first measurement of a shard is kept when the shard is drawn again.
INSERT OR IGNORE INTO drawing_times BY NAME
SELECT $run_id AS run_id, * FROM staged_drawing_times;

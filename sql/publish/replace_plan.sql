-- What the plan of a night says besides its pictures, inside the caller's transaction and after
-- replace_night; the night_* names are frames registered by the caller.

DELETE FROM cohorts WHERE run_id = $run_id;
INSERT INTO cohorts BY NAME
SELECT $run_id AS run_id, * FROM night_cohorts;

DELETE FROM plan_pairs WHERE run_id = $run_id;
INSERT INTO plan_pairs BY NAME
SELECT $run_id AS run_id, * FROM night_plan_pairs ORDER BY user_id, rank, item_id;

-- The catalogue has no history: what it says now holds for every night.
DELETE FROM originals
WHERE (item_id, image_uri, image_sha256) NOT IN (
    SELECT (item_id, image_uri, image_sha256) FROM night_originals
);
INSERT INTO originals BY NAME
SELECT * FROM night_originals ANTI JOIN originals USING (item_id) ORDER BY item_id;

-- A shard that is drawn again does not change what was measured first.
INSERT OR IGNORE INTO drawing_times BY NAME
SELECT $run_id AS run_id, * FROM night_drawing_times;

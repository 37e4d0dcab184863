-- One row per inconsistency between two tables; a sound warehouse has none.
WITH gated AS (
    SELECT asset_key FROM run_assets
    UNION
    SELECT asset_key FROM rejections
),
counted AS (
    SELECT
        runs.run_id,
        runs.generated, runs.reused, runs.rejected,
        (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id AND r.origin = 'generated')
            AS generated_rows,
        (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id AND r.origin = 'reused')
            AS reused_rows,
        (SELECT count(*) FROM rejections AS j WHERE j.run_id = runs.run_id) AS rejected_rows
    FROM runs
),
faults AS (
    SELECT 'lost picture' AS kind, concat_ws(' / ', run_id, user_id, item_id) AS subject,
           'serves ' || asset_key || ', which is not in assets' AS detail
    FROM run_assets ANTI JOIN assets USING (asset_key)
    UNION ALL
    SELECT 'unused picture', asset_key, 'no night serves it'
    FROM assets ANTI JOIN run_assets USING (asset_key)
    UNION ALL
    SELECT 'unknown night', concat_ws(' / ', run_id, user_id, item_id), 'is served, but its night is not in runs'
    FROM run_assets ANTI JOIN runs USING (run_id)
    UNION ALL
    SELECT 'unknown night', concat_ws(' / ', run_id, user_id, item_id), 'is rejected, but its night is not in runs'
    FROM rejections ANTI JOIN runs USING (run_id)
    UNION ALL
    SELECT 'unknown night', concat_ws(' / ', run_id, subject), 'is a problem of a night that is not in runs'
    FROM problems ANTI JOIN runs USING (run_id)
    UNION ALL
    SELECT 'stray score', concat_ws(' / ', asset_key, metric), 'belongs to a picture that is neither served nor rejected'
    FROM asset_scores ANTI JOIN gated USING (asset_key)
    UNION ALL
    SELECT 'missing score', asset_key, 'has no selection_score'
    FROM assets
    ANTI JOIN (SELECT asset_key FROM asset_scores WHERE metric = 'selection_score') USING (asset_key)
    UNION ALL
    SELECT 'unlisted picture', asset_key, 'is not in generated_pictures'
    FROM assets
    WHERE unhex(sha256(image_sha256)) NOT IN (SELECT digest FROM generated_pictures)
       OR unhex(sha256(drawn_sha256)) NOT IN (SELECT digest FROM generated_pictures)
    UNION ALL
    SELECT 'wrong count', run_id,
           'records ' || concat_ws(', ', generated, reused, rejected) || ' generated, reused, rejected, but has '
               || concat_ws(', ', generated_rows, reused_rows, rejected_rows)
    FROM counted
    WHERE (generated, reused, rejected) IS DISTINCT FROM (generated_rows, reused_rows, rejected_rows)
    UNION ALL
    SELECT 'wrong serving row', concat_ws(' / ', user_id, item_id), 'is served and should not be'
    FROM (SELECT * FROM served_pairs EXCEPT ALL SELECT * FROM newest_pairs)
    UNION ALL
    SELECT 'wrong serving row', concat_ws(' / ', user_id, item_id), 'should be served and is not'
    FROM (SELECT * FROM newest_pairs EXCEPT ALL SELECT * FROM served_pairs)
    UNION ALL
    SELECT 'wrong serving row', concat_ws(' / ', cohort, item_id), 'is served and should not be'
    FROM (SELECT * FROM served_cohort_pairs EXCEPT ALL SELECT * FROM newest_cohort_pairs)
    UNION ALL
    SELECT 'wrong serving row', concat_ws(' / ', cohort, item_id), 'should be served and is not'
    FROM (SELECT * FROM newest_cohort_pairs EXCEPT ALL SELECT * FROM served_cohort_pairs)
    UNION ALL
    SELECT 'wrong cohort', user_id, 'is in ' || cohort || ' and should not be'
    FROM (SELECT * FROM served_cohorts EXCEPT ALL SELECT * FROM newest_cohorts)
    UNION ALL
    SELECT 'wrong cohort', user_id, 'should be in ' || cohort || ' and is not'
    FROM (SELECT * FROM newest_cohorts EXCEPT ALL SELECT * FROM served_cohorts)
    UNION ALL
    SELECT 'unknown night', concat_ws(' / ', run_id, user_id), 'has a cohort of a night that is not in runs'
    FROM cohorts ANTI JOIN runs USING (run_id)
    UNION ALL
    SELECT 'repeated row', asset_key, 'is in assets more than once'
    FROM assets GROUP BY asset_key HAVING count(*) > 1
    UNION ALL
    SELECT 'repeated row', concat_ws(' / ', asset_key, metric), 'is in asset_scores more than once'
    FROM asset_scores GROUP BY asset_key, metric HAVING count(*) > 1
    UNION ALL
    SELECT 'repeated row', concat_ws(' / ', run_id, user_id, item_id), 'is in run_assets more than once'
    FROM run_assets GROUP BY run_id, user_id, item_id HAVING count(*) > 1
    UNION ALL
    SELECT 'repeated row', concat_ws(' / ', run_id, user_id, item_id), 'is in rejections more than once'
    FROM rejections GROUP BY run_id, user_id, item_id HAVING count(*) > 1
)
SELECT kind, subject, detail FROM faults ORDER BY kind, subject, detail;

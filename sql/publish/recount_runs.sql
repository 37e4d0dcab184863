-- After rows of users were deleted: the counts of every night, and pictures under the name of a user
-- who is still served them. The hash of a night's content no longer is that of its rows.
UPDATE runs
SET
    generated = (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id AND r.origin = 'generated'),
    reused = (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id AND r.origin = 'reused'),
    rejected = (SELECT count(*) FROM rejections AS j WHERE j.run_id = runs.run_id),
    served = (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id),
    planned = planned
        - (generated + reused + rejected)
        + (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id)
        + (SELECT count(*) FROM rejections AS j WHERE j.run_id = runs.run_id),
    content_sha256 = 'users were erased'
WHERE (generated, reused, rejected) IS DISTINCT FROM (
    (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id AND r.origin = 'generated'),
    (SELECT count(*) FROM run_assets AS r WHERE r.run_id = runs.run_id AND r.origin = 'reused'),
    (SELECT count(*) FROM rejections AS j WHERE j.run_id = runs.run_id)
);

UPDATE assets
SET user_id = (SELECT min(r.user_id) FROM run_assets AS r WHERE r.asset_key = assets.asset_key)
WHERE user_id IN (FROM forgotten);

-- The pictures of cohorts again, in one place: which cohort a user has is known only after a look at
-- `served_cohorts`, too late to choose a bucket.
SELECT * RENAME (user_id AS cohort)
FROM served_assets
WHERE starts_with(user_id, 'cohort:');

-- The bad items, images and users that one run met and went round.
SELECT kind, subject, location, message
FROM problems
WHERE run_id = $run_id
ORDER BY kind, subject, location, message;

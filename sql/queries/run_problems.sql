-- Bad items, images, users and rows that one night left out.
SELECT kind, subject, location, message
FROM problems
WHERE run_id = $run_id
ORDER BY kind, subject, location, message;

-- The arm of an experiment that each served user is in. It depends on the hash of experiment and user,
-- so a user stays in one arm every night and on every machine, and experiments are independent of each
-- other. A share of $share of the users, 0 to 1, see their own pictures; the others see the originals.
WITH placed AS (
    SELECT DISTINCT
        user_id,
        md5_number_lower($experiment::VARCHAR || ':' || user_id) % 1000000 / 1000000 AS place
    FROM served_pairs
    WHERE NOT starts_with(user_id, 'cohort:')
)
SELECT
    user_id,
    CASE WHEN place < $share::DOUBLE THEN 'personalised' ELSE 'original' END AS arm,
    place
FROM placed
ORDER BY user_id;

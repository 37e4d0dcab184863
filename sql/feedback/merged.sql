-- What `merge` did, in one row.
SELECT
    count(*) FILTER (state = 'added')           AS added,
    count(*) FILTER (state = 'updated')         AS updated,
    count(*) FILTER (state = 'known')           AS known,
    coalesce(sum(repeated), 0)::BIGINT          AS duplicates,
    coalesce(sum(contradictory), 0)::BIGINT     AS contradictory,
    count(DISTINCT user_id)                     AS users,
    count(DISTINCT item_id)                     AS items,
    count(DISTINCT user_id) FILTER (taste IS NOT NULL)  AS users_with_taste,
    count(DISTINCT user_id) FILTER (cohort IS NOT NULL) AS users_with_cohort,
    strftime(min(shown_at), '%Y-%m-%dT%H:%M:%S+00:00')  AS first,
    strftime(max(shown_at), '%Y-%m-%dT%H:%M:%S+00:00')  AS last
FROM merged;

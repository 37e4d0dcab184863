-- The click rate that a policy would have had, by replay: the mean over logged exposures whose arm is
-- the one that the policy would have chosen. Where the arms were not equally likely, an exposure is
-- accepted with the smallest propensity divided by its own, by a hash, so that the accepted ones are as
-- from equally likely arms. $policy, groups and intervals are as in policy_value.
WITH policy AS (
    SELECT
        CASE
            WHEN NOT starts_with(ltrim($policy::VARCHAR), '{') THEN MAP {'*': $policy::VARCHAR}
            WHEN TRY_CAST($policy::VARCHAR AS JSON) IS NOT NULL
                THEN TRY_CAST(TRY_CAST($policy::VARCHAR AS JSON) AS MAP(VARCHAR, VARCHAR))
            ELSE error('the policy is neither an arm nor a JSON object of cohorts and arms')
        END AS arms
),
matching AS (
    SELECT
        user_id, clicked, propensity,
        coalesce(taste, 'unknown')  AS taste,
        coalesce(cohort, 'unknown') AS cohort,
        shown_at::DATE::VARCHAR     AS day,
        md5_number_lower(concat_ws(chr(31), 'replay', user_id, item_id, epoch_us(shown_at)))
            % 1000000 / 1000000     AS place
    FROM exposures, policy
    WHERE arm = coalesce(arms[coalesce(cohort, 'unknown')], arms['*'])
),
users AS (
    SELECT
        CASE
            WHEN grouping(taste) = 0 THEN 'taste'
            WHEN grouping(cohort) = 0 THEN 'cohort'
            WHEN grouping(day) = 0 THEN 'day'
            ELSE 'total'
        END                                     AS grouped_by,
        coalesce(taste, cohort, day, 'all')     AS value,
        user_id,
        count(*)::DOUBLE                        AS n,
        count(*) FILTER (clicked)::DOUBLE       AS y
    FROM matching
    WHERE place < (SELECT min(propensity) FROM matching) / propensity
    GROUP BY GROUPING SETS ((user_id), (user_id, taste), (user_id, cohort), (user_id, day))
),
estimates AS (
    SELECT grouped_by, value, count(*) AS users, sum(n) AS n, sum(y) / sum(n) AS rate
    FROM users
    GROUP BY grouped_by, value
),
spread AS (
    SELECT
        grouped_by, value,
        sqrt(any_value(e.users / (e.users - 1)) * sum(((u.y - e.rate * u.n) / e.n) ** 2)) AS of_rate
    FROM users AS u
    JOIN estimates AS e USING (grouped_by, value)
    WHERE e.users > 1
    GROUP BY grouped_by, value
)
SELECT
    grouped_by, value, users,
    n::BIGINT                               AS accepted,
    rate                                    AS replay,
    rate - 1.959963984540054 * of_rate      AS replay_low,
    rate + 1.959963984540054 * of_rate      AS replay_high
FROM estimates
LEFT JOIN spread USING (grouped_by, value)
WHERE n > 0
ORDER BY list_position(['total', 'taste', 'cohort', 'day'], grouped_by), value;

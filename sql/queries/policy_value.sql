-- The click rate that a policy would have had, from exposures of other policies: inverse propensity
-- scoring (ips) and its self-normalised form (snips), with 95 % intervals from sums per user; in total,
-- and by taste and cohort of the user and by day (UTC). $policy is an arm for everybody, or a JSON
-- object that has the arm of each cohort and of all others: {"cohort:1": "original", "*": "personalised"}.
WITH policy AS (
    SELECT
        CASE
            WHEN NOT starts_with(ltrim($policy::VARCHAR), '{') THEN MAP {'*': $policy::VARCHAR}
            WHEN TRY_CAST($policy::VARCHAR AS JSON) IS NOT NULL
                THEN TRY_CAST(TRY_CAST($policy::VARCHAR AS JSON) AS MAP(VARCHAR, VARCHAR))
            ELSE error('the policy is neither an arm nor a JSON object of cohorts and arms')
        END AS arms
),
shown AS (
    SELECT
        user_id, clicked,
        coalesce(taste, 'unknown')  AS taste,
        coalesce(cohort, 'unknown') AS cohort,
        shown_at::DATE::VARCHAR     AS day,
        CASE WHEN arm = coalesce(arms[coalesce(cohort, 'unknown')], arms['*'])
            THEN 1 / propensity ELSE 0 END AS weight
    FROM exposures, policy
    WHERE coalesce(arms[coalesce(cohort, 'unknown')], arms['*']) IS NOT NULL
),
users AS (
    SELECT
        CASE
            WHEN grouping(taste) = 0 THEN 'taste'
            WHEN grouping(cohort) = 0 THEN 'cohort'
            WHEN grouping(day) = 0 THEN 'day'
            ELSE 'total'
        END                                             AS grouped_by,
        coalesce(taste, cohort, day, 'all')             AS value,
        user_id,
        count(*)::DOUBLE                                AS n,
        count(*) FILTER (clicked)::DOUBLE               AS y,
        count(*) FILTER (weight > 0)                    AS matched,
        sum(weight)                                     AS w,
        sum(weight ** 2)                                AS w_squared,
        sum(CASE WHEN clicked THEN weight ELSE 0 END)   AS wy
    FROM shown
    GROUP BY GROUPING SETS ((user_id), (user_id, taste), (user_id, cohort), (user_id, day))
),
estimates AS (
    SELECT
        grouped_by, value,
        count(*)                            AS users,
        sum(n)                              AS n,
        sum(matched)::BIGINT                AS matched,
        sum(y) / sum(n)                     AS logged_rate,
        sum(w)                              AS w,
        sum(w) ** 2 / nullif(sum(w_squared), 0) AS effective,
        sum(wy) / nullif(sum(n), 0)         AS ips,
        sum(wy) / nullif(sum(w), 0)         AS snips
    FROM users
    GROUP BY grouped_by, value
),
spread AS (
    SELECT
        grouped_by, value,
        sqrt(any_value(e.users / (e.users - 1)) * sum(((u.wy - e.ips * u.n) / e.n) ** 2))     AS of_ips,
        sqrt(any_value(e.users / (e.users - 1)) * sum(((u.wy - e.snips * u.w) / e.w) ** 2))   AS of_snips
    FROM users AS u
    JOIN estimates AS e USING (grouped_by, value)
    WHERE e.users > 1 AND e.matched > 0
    GROUP BY grouped_by, value
)
SELECT
    grouped_by, value, users,
    n::BIGINT                                                           AS shown,
    matched,
    effective                                                           AS effective_matched,
    w / n                                                               AS mean_weight,
    logged_rate,
    CASE WHEN matched > 0 THEN ips END                                  AS ips,
    ips - 1.959963984540054 * of_ips                                    AS ips_low,
    ips + 1.959963984540054 * of_ips                                    AS ips_high,
    snips,
    snips - 1.959963984540054 * of_snips                                AS snips_low,
    snips + 1.959963984540054 * of_snips                                AS snips_high
FROM estimates
LEFT JOIN spread USING (grouped_by, value)
ORDER BY list_position(['total', 'taste', 'cohort', 'day'], grouped_by), value;

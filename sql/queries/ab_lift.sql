-- Click rates of two arms of an experiment, their difference and their ratio (lift is ratio - 1), with
-- 95 % intervals: in total, and by taste and cohort of the user and by day (UTC). Users are the units
-- of randomisation, so the intervals come from sums per user (delta method; docs/feedback.md).
WITH shown AS (
    SELECT
        user_id, arm, clicked,
        coalesce(taste, 'unknown')  AS taste,
        coalesce(cohort, 'unknown') AS cohort,
        shown_at::DATE::VARCHAR     AS day
    FROM exposures
    WHERE arm IN ($treatment::VARCHAR, $control::VARCHAR)
),
users AS (
    SELECT
        CASE
            WHEN grouping(taste) = 0 THEN 'taste'
            WHEN grouping(cohort) = 0 THEN 'cohort'
            WHEN grouping(day) = 0 THEN 'day'
            ELSE 'total'
        END                                                           AS grouped_by,
        coalesce(taste, cohort, day, 'all')                           AS value,
        user_id,
        count(*) FILTER (arm = $treatment::VARCHAR)::DOUBLE             AS n_t,
        count(*) FILTER (arm = $treatment::VARCHAR AND clicked)::DOUBLE AS y_t,
        count(*) FILTER (arm = $control::VARCHAR)::DOUBLE               AS n_c,
        count(*) FILTER (arm = $control::VARCHAR AND clicked)::DOUBLE   AS y_c
    FROM shown
    GROUP BY GROUPING SETS ((user_id), (user_id, taste), (user_id, cohort), (user_id, day))
),
rates AS (
    SELECT
        grouped_by, value,
        count(*)                                AS users,
        count(*) FILTER (n_t > 0)               AS users_t,
        count(*) FILTER (n_c > 0)               AS users_c,
        sum(n_t)                                AS n_t,
        sum(n_c)                                AS n_c,
        sum(y_t) / nullif(sum(n_t), 0)          AS rate_t,
        sum(y_c) / nullif(sum(n_c), 0)          AS rate_c
    FROM users
    GROUP BY grouped_by, value
),
spread AS (
    SELECT
        grouped_by, value,
        sqrt(any_value(r.users / nullif(r.users - 2, 0)) * sum(
            ((u.y_t - r.rate_t * u.n_t) / r.n_t - (u.y_c - r.rate_c * u.n_c) / r.n_c) ** 2
        )) AS of_difference,
        sqrt(any_value(r.users / nullif(r.users - 2, 0)) * sum((
            (u.y_t - r.rate_t * u.n_t) / nullif(r.n_t * r.rate_t, 0)
            - (u.y_c - r.rate_c * u.n_c) / nullif(r.n_c * r.rate_c, 0)
        ) ** 2)) AS of_log_ratio
    FROM users AS u
    JOIN rates AS r USING (grouped_by, value)
    WHERE r.users_t > 1 AND r.users_c > 1
    GROUP BY grouped_by, value
)
SELECT
    grouped_by, value,
    users_t                                                     AS treatment_users,
    users_c                                                     AS control_users,
    n_t::BIGINT                                                 AS treatment_shown,
    n_c::BIGINT                                                 AS control_shown,
    rate_t                                                      AS treatment_rate,
    rate_c                                                      AS control_rate,
    rate_t - rate_c                                             AS difference,
    rate_t - rate_c - 1.959963984540054 * of_difference         AS difference_low,
    rate_t - rate_c + 1.959963984540054 * of_difference         AS difference_high,
    rate_t / nullif(rate_c, 0)                                  AS ratio,
    rate_t / nullif(rate_c, 0) * exp(-1.959963984540054 * of_log_ratio) AS ratio_low,
    rate_t / nullif(rate_c, 0) * exp(1.959963984540054 * of_log_ratio)  AS ratio_high
FROM rates
LEFT JOIN spread USING (grouped_by, value)
ORDER BY list_position(['total', 'taste', 'cohort', 'day'], grouped_by), value;

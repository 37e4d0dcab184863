-- Keys that nights before a date could not serve and that need not be drawn again: refused by the quality
-- gate in the newest night with a verdict, or failed in $attempts nights of the last $days days. The
-- caller registers `wanted_keys`.
WITH outcomes AS (
    SELECT r.asset_key, r.run_id, NULL::VARCHAR AS reason, NULL::VARCHAR AS detail
    FROM run_assets AS r
    JOIN wanted_keys AS w USING (asset_key)
    UNION ALL
    SELECT j.asset_key, j.run_id, j.reason, j.detail
    FROM rejections AS j
    JOIN wanted_keys AS w USING (asset_key)
),
earlier AS (
    SELECT
        outcomes.*,
        runs.logical_date,
        coalesce(list_contains($failures::VARCHAR[], outcomes.reason), false) AS failed
    FROM outcomes
    JOIN runs USING (run_id)
    WHERE runs.logical_date < $before::DATE
),
verdicts AS (
    SELECT asset_key, reason, detail, run_id
    FROM earlier
    WHERE NOT failed
    QUALIFY row_number() OVER (PARTITION BY asset_key ORDER BY run_id DESC, reason, detail) = 1
),
failing AS (
    SELECT
        asset_key, count(DISTINCT run_id) AS attempts, max_by(reason, run_id) AS reason,
        max_by(detail, run_id) AS detail, max(run_id) AS run_id
    FROM earlier ANTI JOIN verdicts USING (asset_key)
    WHERE failed AND logical_date >= $before::DATE - $days::INTEGER
    GROUP BY asset_key
    HAVING attempts >= $attempts
)
SELECT
    asset_key,
    'known_refusal'                                        AS reason,
    concat(reason, ' on ', run_id, ': ' || detail)         AS detail,
    reason                                                 AS cause
FROM verdicts
WHERE reason IS NOT NULL
UNION ALL
SELECT
    asset_key,
    'repeated_failure',
    concat('failed in ', attempts, ' nights of ', $days::INTEGER, ' days, ', reason, ' on ', run_id, ': ' || detail),
    reason
FROM failing
ORDER BY asset_key;

-- Adds the rows of `given`, inside the caller's transaction. The caller registers `user_tastes`.
-- One exposure is one user, item and time. Of rows that agree in that but not in arm, picture and
-- propensity, the first in the order of these three counts, and a click in any row is a click. So the
-- result does not depend on the order of rows or of imports, and importing rows again changes nothing.

-- 1. One row per exposure.
CREATE OR REPLACE TEMP TABLE incoming AS
WITH facts AS (
    SELECT
        user_id, item_id, shown_at,
        {'arm': arm, 'asset_key': coalesce(asset_key, ''), 'propensity': propensity} AS fact,
        bool_or(clicked) AS clicked,
        min(taste)       AS taste,
        min(cohort)      AS cohort,
        count(*)         AS row_count
    FROM given
    WHERE fault IS NULL
    GROUP BY user_id, item_id, shown_at, fact
)
SELECT
    user_id, item_id, shown_at,
    min(fact)                            AS fact,
    bool_or(clicked)                     AS clicked,
    min(taste)                           AS taste,
    min(cohort)                          AS cohort,
    (sum(row_count) - count(*))::BIGINT  AS repeated,
    count(*) - 1                         AS contradictory
FROM facts
GROUP BY user_id, item_id, shown_at;

-- 2. Together with what is there. The cohort is that of the newest night up to that day.
CREATE OR REPLACE TEMP TABLE merged AS
WITH placed AS (
    SELECT incoming.*, night_cohorts.cohort AS night_cohort
    FROM incoming
    ASOF LEFT JOIN night_cohorts
        ON night_cohorts.user_id = incoming.user_id
       AND incoming.shown_at::DATE >= night_cohorts.logical_date
)
SELECT
    new.user_id, new.item_id, new.shown_at,
    CASE WHEN old.fact < new.fact THEN old.fact ELSE new.fact END  AS fact,
    new.clicked OR coalesce(old.clicked, false)                    AS clicked,
    coalesce(old.taste, new.taste, user_tastes.taste)              AS taste,
    coalesce(old.cohort, new.cohort, new.night_cohort)             AS cohort,
    new.repeated,
    new.contradictory + coalesce(old.fact <> new.fact, false)::INTEGER AS contradictory,
    CASE
        WHEN old.user_id IS NULL THEN 'added'
        WHEN old.fact <= new.fact
            AND old.clicked >= new.clicked
            AND (old.taste IS NOT NULL OR coalesce(new.taste, user_tastes.taste) IS NULL)
            AND (old.cohort IS NOT NULL OR coalesce(new.cohort, new.night_cohort) IS NULL)
            THEN 'known'
        ELSE 'updated'
    END AS state
FROM placed AS new
LEFT JOIN (
    SELECT
        * EXCLUDE (asset_key, arm, propensity),
        {'arm': arm, 'asset_key': coalesce(asset_key, ''), 'propensity': propensity} AS fact
    FROM exposures
) AS old USING (user_id, item_id, shown_at)
LEFT JOIN user_tastes ON user_tastes.user_id = new.user_id;

-- 3. Replace the rows that change.
DELETE FROM exposures
USING merged
WHERE merged.state = 'updated'
  AND exposures.user_id = merged.user_id
  AND exposures.item_id = merged.item_id
  AND exposures.shown_at = merged.shown_at;

INSERT INTO exposures BY NAME
SELECT
    user_id, item_id, shown_at,
    nullif(fact.asset_key, '')  AS asset_key,
    fact.arm                    AS arm,
    fact.propensity             AS propensity,
    clicked, taste, cohort
FROM merged
WHERE state <> 'known'
ORDER BY shown_at, user_id, item_id;

-- Two pictures of one item, of which one was clicked and the other not, within a user or within a cohort
-- ($within). Each clicked picture has the one that was shown most without a click, at least
-- $min_shown times. Exposures after a user's first click on the item do not count: who has seen the
-- item need not click again.
WITH counted AS (
    SELECT
        item_id, user_id, clicked, propensity,
        CASE WHEN $within = 'user' THEN user_id ELSE cohort END AS comparable,
        coalesce(asset_key, '')                                 AS picture
    FROM exposures
    QUALIFY shown_at <= coalesce(
        min(shown_at) FILTER (clicked) OVER (PARTITION BY user_id, item_id), shown_at
    )
),
pictures AS (
    SELECT
        comparable, item_id, picture,
        count(*)                            AS shown,
        count(*) FILTER (clicked)           AS clicks,
        avg(1 / propensity)                 AS weight
    FROM counted
    WHERE comparable IS NOT NULL
    GROUP BY comparable, item_id, picture
),
pairs AS (
    SELECT
        item_id, comparable,
        chosen.picture                      AS chosen_key,
        nullif(rejected.picture, '')        AS rejected_key,
        chosen.shown                        AS chosen_shown,
        chosen.clicks                       AS chosen_clicks,
        rejected.shown                      AS rejected_shown,
        chosen.weight * rejected.weight     AS weight
    FROM pictures AS chosen
    JOIN pictures AS rejected USING (comparable, item_id)
    -- The original is never chosen: the quality gate refuses copies of it.
    WHERE chosen.clicks > 0 AND chosen.picture <> ''
      AND rejected.clicks = 0 AND rejected.shown >= $min_shown::INTEGER
    QUALIFY row_number() OVER (
        PARTITION BY comparable, item_id, chosen.picture
        ORDER BY rejected.shown DESC, rejected.picture
    ) = 1
)
SELECT
    pairs.*,
    chosen.user_id,
    chosen.history_ids,
    chosen.mask_ratio           AS chosen_ratio,
    chosen.image                AS chosen_image,
    chosen.image_uri            AS chosen_uri,
    rejected.mask_ratio         AS rejected_ratio,
    rejected.image              AS rejected_image,
    rejected.image_uri          AS rejected_uri
FROM pairs
JOIN assets AS chosen ON chosen.asset_key = pairs.chosen_key
LEFT JOIN assets AS rejected ON rejected.asset_key = pairs.rejected_key
WHERE pairs.rejected_key IS NULL OR rejected.asset_key IS NOT NULL
ORDER BY chosen_clicks + rejected_shown DESC, item_id, comparable, chosen_key
LIMIT $limit::BIGINT;

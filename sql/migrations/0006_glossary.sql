-- The names of the glossary in what is stored: a recommendation is what the recommender proposes, a
-- candidate one drawn alternative; guidance of the language model and of the renderer.

UPDATE problems SET kind = 'bad_recommendation' WHERE kind = 'bad_candidate';
UPDATE problems SET kind = 'duplicate_recommendation' WHERE kind = 'duplicate_candidate';

-- Renames keys in the text, since DuckDB's JSON functions would rewrite numbers (1e-05 as 0.00001). A
-- quoted name before a colon is a key: inside a string, quotes are escaped.
UPDATE runs
SET config = replace(
    replace(
        replace(config::VARCHAR, '"candidates":', '"recommendations":'),
        '"reference_guidance":', '"language_guidance":'
    ),
    '"guidance_scale":', '"render_guidance":'
);

-- The picture one user is shown for one item: always one row. `origin` is `own`, `cohort`, `original`
-- (then image_uri and image_sha256 are the catalogue's and there are no bytes), or `unknown` if the
-- item is not in the catalogue (then everything else is null).
CREATE OR REPLACE MACRO asset_for(user_id, item_id) AS TABLE
SELECT
    lookup.lookup_user                                      AS user_id,
    lookup.lookup_item                                      AS item_id,
    assets.image,
    coalesce(assets.image_uri, CASE WHEN assets.asset_key IS NULL THEN original.image_uri END)
                                                            AS image_uri,
    assets.format,
    coalesce(own.score, shared.score)                       AS score,
    coalesce(own.text_score, shared.text_score)             AS text_score,
    coalesce(own.history_score, shared.history_score)       AS history_score,
    assets.asset_key,
    coalesce(assets.image_sha256, original.image_sha256)    AS image_sha256,
    assets.model_version,
    assets.history_ids,
    coalesce(own.run_id, shared.run_id)                     AS run_id,
    coalesce(own.logical_date, shared.logical_date)         AS logical_date,
    CASE
        WHEN own.asset_key IS NOT NULL THEN 'own'
        WHEN shared.asset_key IS NOT NULL THEN 'cohort'
        WHEN original.item_id IS NOT NULL THEN 'original'
        ELSE 'unknown'
    END                                                     AS origin,
    CASE WHEN own.asset_key IS NULL AND shared.asset_key IS NOT NULL THEN shared.cohort END
                                                            AS cohort
FROM (SELECT user_id::VARCHAR AS lookup_user, item_id::VARCHAR AS lookup_item) AS lookup
LEFT JOIN served_pairs AS own ON own.user_id = user_id AND own.item_id = item_id
LEFT JOIN served_cohorts AS member ON member.user_id = user_id
LEFT JOIN served_cohort_pairs AS shared ON shared.cohort = member.cohort AND shared.item_id = item_id
LEFT JOIN originals AS original ON original.item_id = item_id
-- The empty key, which no picture has, avoids a search for a null key.
LEFT JOIN assets ON assets.asset_key = coalesce(own.asset_key, shared.asset_key, '');

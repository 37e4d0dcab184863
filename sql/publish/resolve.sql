-- Resolves a staged night against the warehouse, inside the transaction that will write it. A night that is
-- run again reuses the pictures that it made the first time: resolved, both runs have the same rows.

-- Stored pictures of the keys that the night serves. Kept as they are: those that are not drawn again,
-- those that another night serves as well, and those whose row would be the same apart from mark and
-- location, so that their marked bytes stay.
CREATE OR REPLACE TEMP TABLE stored_pictures AS
SELECT
    stored.asset_key,
    drawn.asset_key IS NOT NULL AS drawn,
    drawn.asset_key IS NULL
        OR elsewhere.asset_key IS NOT NULL
        OR (
            stored.user_id, stored.item_id, coalesce(stored.drawn_sha256, stored.image_sha256),
            stored.format, stored.width, stored.height, stored.mask_ratio, stored.seed,
            stored.model_version, stored.history_ids
        ) IS NOT DISTINCT FROM (
            drawn.user_id, drawn.item_id, drawn.image_sha256,
            drawn.format, drawn.width, drawn.height, drawn.mask_ratio, drawn.seed,
            drawn.model_version, drawn.history_ids
        ) AS kept
FROM assets AS stored
SEMI JOIN staged_run_assets AS wanted ON wanted.asset_key = stored.asset_key
LEFT JOIN staged_assets AS drawn ON drawn.asset_key = stored.asset_key
LEFT JOIN (SELECT DISTINCT asset_key FROM run_assets WHERE run_id <> $run_id) AS elsewhere
    ON elsewhere.asset_key = stored.asset_key;

-- Keys with stored scores, likewise: kept where no other scores are brought, or another night serves or
-- rejects the picture.
CREATE OR REPLACE TEMP TABLE stored_scores AS
SELECT
    stored.asset_key,
    drawn.asset_key IS NOT NULL AS drawn,
    drawn.asset_key IS NULL OR elsewhere.asset_key IS NOT NULL AS kept
FROM (
    SELECT DISTINCT asset_key
    FROM asset_scores
    SEMI JOIN (
        SELECT asset_key FROM staged_run_assets UNION ALL SELECT asset_key FROM staged_rejections
    ) USING (asset_key)
) AS stored
LEFT JOIN (SELECT DISTINCT asset_key FROM staged_scores) AS drawn USING (asset_key)
LEFT JOIN (
    SELECT asset_key FROM run_assets WHERE run_id <> $run_id
    UNION
    SELECT asset_key FROM rejections WHERE run_id <> $run_id
) AS elsewhere USING (asset_key);

-- Pairs that an earlier publication of this night generated stay generated.
CREATE OR REPLACE TEMP TABLE generated_before AS
SELECT DISTINCT asset_key FROM run_assets WHERE run_id = $run_id AND origin = 'generated';

-- 1. What to write.
CREATE OR REPLACE TEMP VIEW night_run_assets AS
SELECT
    user_id, item_id, staged.asset_key,
    CASE WHEN earlier.asset_key IS NULL THEN origin ELSE 'generated' END AS origin,
    priority
FROM staged_run_assets AS staged
LEFT JOIN generated_before AS earlier ON earlier.asset_key = staged.asset_key;

CREATE OR REPLACE TEMP VIEW new_scores AS
FROM staged_scores ANTI JOIN (FROM stored_scores WHERE kept) USING (asset_key);

-- 2. What the night is: every served picture and its scores, new or stored. `image_sha256` is the hash of
-- the picture as it was drawn.
CREATE OR REPLACE TEMP VIEW night_pictures AS
SELECT
    asset_key, user_id, item_id, image_sha256, format, width, height, mask_ratio, seed, model_version,
    history_ids
FROM staged_assets ANTI JOIN (FROM stored_pictures WHERE kept) USING (asset_key)
UNION ALL
SELECT
    asset_key, user_id, item_id, coalesce(drawn_sha256, image_sha256), format, width, height, mask_ratio,
    seed, model_version, history_ids
FROM assets SEMI JOIN (FROM stored_pictures WHERE kept) USING (asset_key);

CREATE OR REPLACE TEMP VIEW night_scores AS
FROM new_scores
UNION ALL
FROM asset_scores SEMI JOIN (FROM stored_scores WHERE kept) USING (asset_key);

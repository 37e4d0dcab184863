-- What every change of the nights ends with, inside its transaction.

-- 1. What no night refers to any more goes.
DELETE FROM assets
WHERE NOT EXISTS (SELECT 1 FROM run_assets AS r WHERE r.asset_key = assets.asset_key);

DELETE FROM asset_scores
WHERE NOT EXISTS (SELECT 1 FROM run_assets AS r WHERE r.asset_key = asset_scores.asset_key)
  AND NOT EXISTS (SELECT 1 FROM rejections AS j WHERE j.asset_key = asset_scores.asset_key);

-- 2. Readers get the newest night that serves anything.
DELETE FROM served_pairs;

INSERT INTO served_pairs BY NAME
SELECT * FROM newest_pairs ORDER BY user_id, item_id;

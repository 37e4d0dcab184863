-- Deletes pictures and scores that no night refers to any more, in the transaction that removed the
-- references.
DELETE FROM assets
WHERE NOT EXISTS (SELECT 1 FROM run_assets AS r WHERE r.asset_key = assets.asset_key);

DELETE FROM asset_scores
WHERE NOT EXISTS (SELECT 1 FROM run_assets AS r WHERE r.asset_key = asset_scores.asset_key)
  AND NOT EXISTS (SELECT 1 FROM rejections AS j WHERE j.asset_key = asset_scores.asset_key);

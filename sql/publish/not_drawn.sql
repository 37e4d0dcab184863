-- Shards of the loaded plan that lack planned pictures, and how many.
SELECT shard, count(*)
FROM planned
ANTI JOIN (SELECT asset_key FROM read_parquet($files)) AS drawn USING (asset_key)
WHERE status = 'generate'
GROUP BY shard
ORDER BY shard;

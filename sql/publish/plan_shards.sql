SELECT DISTINCT shard FROM planned ORDER BY shard;

SELECT * EXCLUDE (shard) FROM verdicts WHERE shard = $shard;

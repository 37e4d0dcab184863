-- Requests of one shard, in the order of the plan.
SELECT * EXCLUDE (shard) FROM planned WHERE shard = $shard;

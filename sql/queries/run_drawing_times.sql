-- Time that drawing took in one night, by shard.
SELECT shard, assets, seconds
FROM drawing_times
WHERE run_id = $run_id
ORDER BY shard;

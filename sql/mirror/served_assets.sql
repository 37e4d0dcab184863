-- The pictures of one bucket of users. Not sorted here, since sorting pictures needs memory for all.
SELECT *
FROM served_assets
WHERE ('0x' || left(md5(user_id), 8))::BIGINT % $buckets = $bucket;

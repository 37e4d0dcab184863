SELECT user_id, cohort
FROM served_cohorts
WHERE ('0x' || left(md5(user_id), 8))::BIGINT % $buckets = $bucket;

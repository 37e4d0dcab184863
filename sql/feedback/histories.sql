-- The histories that pictures of single users were drawn for.
SELECT user_id, history_ids FROM assets WHERE NOT starts_with(user_id, 'cohort:');

-- The night that `served_assets` shows, or the newest one if no night serves anything.
SELECT run_id FROM runs ORDER BY (served > 0) DESC, logical_date DESC LIMIT 1;

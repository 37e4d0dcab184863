-- The newest night that is not in the future.
SELECT max(logical_date) FROM runs WHERE logical_date <= $latest::DATE;

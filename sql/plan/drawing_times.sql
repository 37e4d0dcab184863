-- Time spent on drawing in every night before a date, summed over shards.
SELECT
    runs.logical_date,
    runs.model_version,
    runs.settings_hash,
    sum(times.assets)::BIGINT AS assets,
    sum(times.seconds)        AS seconds
FROM drawing_times AS times
JOIN runs USING (run_id)
WHERE runs.logical_date < $before::DATE
GROUP BY ALL
ORDER BY runs.logical_date;

-- Cost of a picture in seconds of drawing and in bytes, per night. Reused pictures cost nothing, so
-- a night that reuses many has a low cost per served picture.
WITH drawn AS (
    SELECT run_id, sum(assets) AS assets, sum(seconds) AS seconds
    FROM drawing_times
    GROUP BY run_id
),
stored AS (
    SELECT first_run_id AS run_id, sum(byte_size) AS bytes
    FROM assets
    GROUP BY first_run_id
)
SELECT
    runs.logical_date,
    runs.run_id,
    coalesce(drawn.assets, 0)::BIGINT       AS drawn,
    runs.served,
    drawn.seconds,
    drawn.seconds / drawn.assets            AS seconds_per_drawn,
    drawn.seconds / nullif(runs.served, 0)  AS seconds_per_served,
    coalesce(stored.bytes, 0)::BIGINT       AS new_bytes
FROM runs
LEFT JOIN drawn USING (run_id)
LEFT JOIN stored USING (run_id)
ORDER BY runs.logical_date DESC;

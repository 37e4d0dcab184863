-- Rejections per night and reason, with their share of all pictures that went through the quality gate.
SELECT
    runs.logical_date,
    runs.run_id,
    rejections.reason,
    count(*)                                        AS rejections,
    count(*) / (any_value(runs.served) + any_value(runs.rejected)) AS share
FROM rejections
JOIN runs USING (run_id)
GROUP BY runs.logical_date, runs.run_id, rejections.reason
ORDER BY runs.logical_date DESC, rejections DESC, rejections.reason;

-- Generated, rejected and served pictures per night, and their scores.
SELECT * FROM asset_quality_daily ORDER BY logical_date DESC;

-- How much was made, refused and served each night, and how good it was.
SELECT * FROM asset_quality_daily ORDER BY logical_date DESC;

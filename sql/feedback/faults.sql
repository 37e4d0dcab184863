-- Rows of `given` that are left out, by reason.
SELECT
    fault,
    count(*)                AS row_count,
    min(row)                AS first_row,
    arg_min(concat('user=', user_id, ', item=', item_id, ', asset=', asset_key), row) AS example
FROM given
WHERE fault IS NOT NULL
GROUP BY fault
ORDER BY first_row;

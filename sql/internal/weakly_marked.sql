-- Keys of the pictures with another marking than those in $enough, or with none.
SELECT asset_key
FROM assets
WHERE NOT list_contains($enough::VARCHAR[], coalesce(marking, ''))
ORDER BY asset_key;

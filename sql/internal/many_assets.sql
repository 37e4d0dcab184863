-- Looks up many pairs in one query, in the order given. The caller registers `wanted_pairs`.
SELECT found.*
FROM wanted_pairs AS wanted
CROSS JOIN LATERAL asset_for(wanted.user_id, wanted.item_id) AS found
ORDER BY wanted.position;

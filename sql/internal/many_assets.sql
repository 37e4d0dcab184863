-- The answers to many questions at once, in the order asked; wanted_pairs is registered by the caller.
SELECT found.*
FROM wanted_pairs AS wanted
CROSS JOIN LATERAL asset_for(wanted.user_id, wanted.item_id) AS found
ORDER BY wanted.place;

-- Identity of the open warehouse, and the night that it serves.
SELECT
    (SELECT id FROM warehouse_identity)                     AS warehouse,
    coalesce(
        (SELECT max(run_id) FROM served_pairs),
        (SELECT run_id FROM runs ORDER BY logical_date DESC LIMIT 1)
    )                                                       AS night;

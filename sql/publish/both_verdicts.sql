-- Keys and pairs that a staged night both serves and rejects, in the form of repeated.sql.
SELECT 'rejections', 'asset_key', count(*), min(subject, 3)
FROM (
    SELECT DISTINCT asset_key AS subject FROM staged_run_assets
    WHERE asset_key IN (SELECT asset_key FROM staged_rejections)
);

SELECT 'rejections', 'user_id', count(*), min(subject, 3)
FROM (
    SELECT concat_ws(' / ', user_id, item_id) AS subject
    FROM staged_run_assets
    SEMI JOIN staged_rejections USING (user_id, item_id)
);

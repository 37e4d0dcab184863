-- All models, the model of one version, or the serving model; newest first.
SELECT
    models.*,
    models.version IS NOT DISTINCT FROM (SELECT version FROM serving_model) AS serving
FROM models
WHERE ($version::VARCHAR IS NULL OR models.version = $version)
  AND (NOT $only_serving OR models.version = (SELECT version FROM serving_model))
ORDER BY models.created_at DESC, models.version;

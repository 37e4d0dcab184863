-- A version that is registered again keeps its first date and its promotion.
INSERT INTO models BY NAME
SELECT
    $version AS version,
    $parent_version AS parent_version,
    $alignment AS alignment,
    $config_hash AS config_hash,
    $config::JSON AS config,
    $metrics::JSON AS metrics,
    $weights_path AS weights_path,
    $weights_sha256 AS weights_sha256,
    $decision AS decision,
    $reason AS reason,
    $created_at::TIMESTAMPTZ AS created_at,
    NULL AS promoted_at
ON CONFLICT (version) DO UPDATE SET
    parent_version = excluded.parent_version,
    alignment = excluded.alignment,
    config_hash = excluded.config_hash,
    config = excluded.config,
    metrics = excluded.metrics,
    weights_path = excluded.weights_path,
    weights_sha256 = excluded.weights_sha256,
    decision = excluded.decision,
    reason = excluded.reason;

-- The new promotion is later than every earlier one, even if the clock was set back meanwhile.
UPDATE models
SET promoted_at = coalesce(
    (SELECT greatest($now::TIMESTAMPTZ, max(promoted_at) + INTERVAL 1 MICROSECOND)
     FROM models WHERE promoted_at IS NOT NULL),
    $now::TIMESTAMPTZ
)
WHERE version = $version;

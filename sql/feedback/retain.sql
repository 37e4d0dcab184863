-- Deletes the exposures of the days before $first.
DELETE FROM exposures WHERE shown_at < $first::DATE::TIMESTAMPTZ;

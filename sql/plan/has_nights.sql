-- Whether any night has been published.
SELECT count(*) > 0 FROM runs;

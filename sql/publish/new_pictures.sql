-- The rows of `staged_part` whose pictures are to be written. The caller registers it.
FROM staged_part ANTI JOIN (FROM stored_pictures WHERE drawn AND kept) USING (asset_key);

SELECT content_sha256 FROM runs WHERE run_id = $run_id;

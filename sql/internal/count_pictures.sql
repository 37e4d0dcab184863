SELECT count(*) FROM assets;

SELECT generated, model_version, asset_key FROM is_generated($sha256);

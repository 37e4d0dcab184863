SELECT item_id, image_uri, image_sha256 FROM originals;

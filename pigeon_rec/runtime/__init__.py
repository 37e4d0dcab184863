"""What every stage uses and none owns: files, locks, digests, progress, settings and addresses."""

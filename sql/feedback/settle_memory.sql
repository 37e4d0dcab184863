-- Larger imports are sorted and joined on the disk.
SET memory_limit = '2GB';

-- One thread finds the rows always in the same order, and the memory does not grow with the night.
SET threads = 1;
SET memory_limit = '256MB';

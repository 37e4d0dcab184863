-- Where the connection puts what does not fit into memory.
SET temp_directory = $folder;

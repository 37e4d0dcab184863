-- Bars queries of a user from files, networks and extensions, for as long as the instance lives.
-- External access alone would leave the open file and its log, which COPY could write.
SET enable_external_access = false;
SET disabled_filesystems = 'LocalFileSystem';
SET allow_persistent_secrets = false;
SET lock_configuration = true;

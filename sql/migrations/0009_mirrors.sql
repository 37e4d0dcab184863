-- Every address that the served tables were ever mirrored to, so that erasure and retention still find
-- what is there when the setting has moved on.
CREATE TABLE mirrors (
    address VARCHAR PRIMARY KEY
);

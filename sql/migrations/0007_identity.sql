-- A name of the warehouse that no other one has, made once. Picture stores carry it in a marker, so that
-- a warehouse removes no pictures of another one. Copies of the file (snapshots, moves) keep it.
CREATE TABLE warehouse_identity (
    id VARCHAR PRIMARY KEY
);
INSERT INTO warehouse_identity SELECT uuid()::VARCHAR;

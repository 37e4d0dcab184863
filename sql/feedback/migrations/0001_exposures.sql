-- What users were shown, and whether they clicked: one row per user, item and time. The file is not
-- part of the warehouse that readers get copies of, since its rows are about persons.
-- There is no primary key: its index would have to fit into memory. Only `merge` adds rows, in one
-- transaction, and it joins them with those that are there.
CREATE TABLE exposures (
    user_id    VARCHAR NOT NULL,
    item_id    VARCHAR NOT NULL,
    shown_at   TIMESTAMPTZ NOT NULL,
    asset_key  VARCHAR,             -- null: the catalogue's own picture
    arm        VARCHAR NOT NULL,
    propensity DOUBLE NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    clicked    BOOLEAN NOT NULL,
    taste      VARCHAR,             -- of the user, known before the picture was chosen
    cohort     VARCHAR              -- likewise
);

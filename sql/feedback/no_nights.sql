-- As attach_nights, where no night has been promoted.
CREATE TEMP TABLE night_assets (asset_key VARCHAR, item_id VARCHAR);
CREATE TEMP TABLE night_cohorts (user_id VARCHAR, cohort VARCHAR, logical_date DATE);

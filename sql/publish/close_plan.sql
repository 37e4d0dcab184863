-- Removes what open_plan.sql made.
DROP TABLE IF EXISTS verdicts;
DROP TABLE IF EXISTS planned;

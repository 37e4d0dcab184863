-- Deletes all exposures of users. The caller registers `forgotten`.
DELETE FROM exposures WHERE user_id IN (FROM forgotten);

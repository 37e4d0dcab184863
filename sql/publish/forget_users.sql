-- Deletes all rows of users, inside the caller's transaction. The caller registers `forgotten`.
DELETE FROM problems
WHERE subject IN (FROM forgotten)
   OR EXISTS (
       SELECT 1 FROM forgotten AS f
       WHERE starts_with(problems.subject, f.user_id || ' / ')
          OR contains(problems.message || ',', 'user=' || f.user_id || ',')
   );
DELETE FROM rejections WHERE user_id IN (FROM forgotten);
DELETE FROM run_assets WHERE user_id IN (FROM forgotten);
DELETE FROM plan_pairs WHERE user_id IN (FROM forgotten);
DELETE FROM cohorts WHERE user_id IN (FROM forgotten);

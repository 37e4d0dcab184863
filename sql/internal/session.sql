-- Settings of every connection: dates do not depend on the machine's time zone, and a name in SQL
-- never resolves to a Python variable.
SET TimeZone = 'UTC';
SET python_enable_replacements = false;

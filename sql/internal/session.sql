-- Every connection of the product: dates do not depend on the machine's time zone, and a name in
-- SQL never falls back to a Python variable of the same name.
SET TimeZone = 'UTC';
SET python_enable_replacements = false;

SELECT address FROM mirrors ORDER BY address;

DELETE FROM mirrors WHERE address = $address;

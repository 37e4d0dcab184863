SELECT count(*) FROM exposures;

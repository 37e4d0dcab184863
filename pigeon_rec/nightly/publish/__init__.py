"""Publishing: a night's files become one transaction in the warehouse."""

"""Planning: which requests a night draws, and from which history."""

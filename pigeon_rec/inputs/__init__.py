"""What a night reads: the team's own tables and pictures, prepared and checked."""

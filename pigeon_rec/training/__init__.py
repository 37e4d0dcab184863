"""Training recipes of every Pigeon part, the loop that runs them, and the model they make."""

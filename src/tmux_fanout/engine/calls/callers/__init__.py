"""What the caller of an API is made of, and what it shares with the others of a run."""

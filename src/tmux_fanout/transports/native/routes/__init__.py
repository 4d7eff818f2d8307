"""Connecting by other ways than TCP."""

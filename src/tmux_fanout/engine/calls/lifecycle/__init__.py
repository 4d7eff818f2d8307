"""Hearing of the end of an API from its responses."""

"""Calls that make no request, as the answer to another one is theirs, or was kept on disk."""

"""Credentials that depend on the request: HTTP Digest, and functions of the user's."""

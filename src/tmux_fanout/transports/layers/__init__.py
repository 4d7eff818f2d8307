"""Layers around any transport: credentials that depend on the request or time, and redirects."""

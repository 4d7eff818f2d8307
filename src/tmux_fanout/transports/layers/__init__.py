"""Layers around any transport: credentials that depend on request or time, uploads, redirects."""

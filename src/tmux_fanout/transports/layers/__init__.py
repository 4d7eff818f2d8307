"""Layers around any transport: OAuth 2.0 tokens and redirects."""

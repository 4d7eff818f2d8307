"""Connections to hosts that come from records."""

"""Transports over other HTTP libraries: httpx, asks, and a user's own client."""

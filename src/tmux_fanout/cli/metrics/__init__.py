"""Metrics for Prometheus: what they are, the server that shows them, and the file."""

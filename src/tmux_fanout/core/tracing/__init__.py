"""Traces: how requests and outcomes name them."""

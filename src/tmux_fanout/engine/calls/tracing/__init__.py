"""Traces of the calls of an API."""

"""Responses that are streams of values."""

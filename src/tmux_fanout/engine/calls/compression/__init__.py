"""Compressing the bodies of an API's requests."""

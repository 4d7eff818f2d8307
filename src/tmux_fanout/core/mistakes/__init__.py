"""Mistakes in a configuration file: all of them."""

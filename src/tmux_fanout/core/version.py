"""The version, on the lowest floor, so that all may say it."""

__version__ = "0.1.0"

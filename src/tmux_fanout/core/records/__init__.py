"""Bytes into records: decompression, framing, parsing."""

"""Bodies that are forms with files, which are read while they are sent."""

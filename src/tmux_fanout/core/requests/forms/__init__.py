"""Bodies that are forms: as in a URL, or of several parts."""

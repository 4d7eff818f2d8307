"""URLs whose host comes from the record."""

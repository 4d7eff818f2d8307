"""Lines of --emit envelope in other forms: as tables, merged into the record, as bodies."""

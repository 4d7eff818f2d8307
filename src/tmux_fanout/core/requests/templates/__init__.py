"""Bodies as templates: values and text with fields of the record."""

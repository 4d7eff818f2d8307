"""The calls of an API whose hosts come from its records: one queue, and one health, per host."""

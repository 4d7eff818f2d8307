"""Which hosts, and which addresses, records may name."""

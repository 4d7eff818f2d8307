"""Which requests are the same, so that the answer to one is that to all, and is worth keeping."""

"""Plan a run: real calls to learn from, and runs in virtual time."""

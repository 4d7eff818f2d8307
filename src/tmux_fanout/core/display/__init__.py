"""What people see of a run: the live display, summaries and ledgers, as text and as JSON."""

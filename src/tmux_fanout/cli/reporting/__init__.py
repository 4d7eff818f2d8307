"""What standard error is told of a run, beside its progress."""

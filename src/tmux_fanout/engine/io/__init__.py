"""Sources and sinks: files, pipes, iterables, dead letters, resume and verify."""

"""What is decided about one endpoint: when it may be called, from how it answered so far."""

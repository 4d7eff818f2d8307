"""Where connections go, if not to the host and port of the URL."""

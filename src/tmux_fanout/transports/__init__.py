"""How requests are sent.  The only layer that imports an HTTP library."""

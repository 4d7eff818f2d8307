"""How requests are sent.  The only floor that knows an HTTP library."""

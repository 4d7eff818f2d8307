"""Settings of an API from several places, one laid over the other."""

"""Reading configuration files, with what they refer to."""

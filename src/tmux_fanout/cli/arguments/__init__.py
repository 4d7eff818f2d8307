"""What the user has written on the command line and in the configuration file."""

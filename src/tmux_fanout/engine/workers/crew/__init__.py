"""Where workers come from: the interface, and the processes of this machine."""

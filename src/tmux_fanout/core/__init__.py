"""The pure layer: no trio, no clock, no randomness and no I/O.  Values in, values out."""

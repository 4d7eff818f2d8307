"""`--display full`: a run on the whole terminal, and keys that change it."""

"""Statistics of a run, and what its APIs wait for."""

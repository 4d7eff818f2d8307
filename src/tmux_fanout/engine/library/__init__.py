"""The library: the engine for programs."""

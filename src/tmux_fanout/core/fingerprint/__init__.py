"""The settings that an output was written with, without secrets, to compare with those of a run."""

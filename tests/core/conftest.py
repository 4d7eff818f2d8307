"""Hypothesis as this suite needs it: the same examples each time, on a machine of any speed."""

from hypothesis import settings

settings.register_profile("same-everywhere", derandomize=True, deadline=None, database=None)
settings.load_profile("same-everywhere")

"""Where trio comes in: reading, admission, limits, calls, ordering, writing."""

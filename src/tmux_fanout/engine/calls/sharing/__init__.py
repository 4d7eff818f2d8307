"""Keeping to a share of the limits, where several processes hold them together."""

"""Limits that several processes hold together, exactly: a share is leased to each of them."""

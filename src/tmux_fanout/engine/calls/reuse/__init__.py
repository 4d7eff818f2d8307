"""Calls that need no request of their own, as the answer to another one is theirs."""

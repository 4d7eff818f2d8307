"""Decisions about calls: retry, rate, breaker, limit, balance, hedge, join."""

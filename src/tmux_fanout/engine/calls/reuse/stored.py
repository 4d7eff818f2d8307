"""What is in a cache, and what goes wrong with it."""

from __future__ import annotations

from typing import NamedTuple


class CacheError(Exception):
    """A cache cannot be used; the message says why."""


class Stored(NamedTuple):
    """An answer, and when it was stored, in seconds since 1970."""

    at: float
    answer: bytes

"""How much is tried of what is drawn at random, and of scenarios that resemble each other.

All of it by default. tox tries all on the oldest Python, and a quarter on the others, where it sets
`TMUX_FANOUT_THOROUGH=0`: what these tests look for differs little from Python to Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

Case = TypeVar("Case")

EVERY = 4 if os.environ.get("TMUX_FANOUT_THOROUGH", "1") == "0" else 1  # which case is tried


def share_of(number: int) -> int:
    """Return how many of so many random cases are tried."""
    return max(1, number // EVERY)


def some_of(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that are tried."""
    return list(cases)[::EVERY]

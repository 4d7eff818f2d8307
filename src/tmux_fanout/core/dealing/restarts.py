"""Deciding when to replace a worker process that died.

A process that is killed once is replaced at once.  If its replacements keep being killed before
they finish anything (out of memory, say), the delay before each restart grows, and after half a
minute there is none.  If a process exits by itself, so will the next one.
"""

from __future__ import annotations

MAX_DEATHS = 12  # in a row
MAX_EXITS = 2  # in a row, where the last process was not killed
_BASE, _CAP = 0.1, 5.0  # seconds


def restart_delay(deaths: int, *, killed: bool = True) -> float | None:
    """Return the seconds to wait before a process is replaced; None: replace it no more.

    Args:
        deaths: how many processes of its slot in a row, this one included, died before they
            finished anything; 0 if this one had finished something.
        killed: whether a signal ended it.
    """
    if deaths >= (MAX_DEATHS if killed else MAX_EXITS):
        return None
    return min(_CAP, _BASE * 2.0 ** (deaths - 2)) if deaths >= 2 else 0.0

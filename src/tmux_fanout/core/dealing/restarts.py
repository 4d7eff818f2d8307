"""When a worker process that died is started again.

A process that is killed once is replaced at once.  A place whose processes are killed again and
again before anything comes of them (for want of memory, say) is given longer and longer pauses, and
is given up after half a minute of that.  Where they end by themselves, so will the next one.
"""

from __future__ import annotations

MAX_DEATHS = 12  # in a row
MAX_EXITS = 2  # the same, where the last was not killed
_BASE, _CAP = 0.1, 5.0  # seconds


def restart_delay(deaths: int, *, killed: bool = True) -> float | None:
    """Return after how many seconds to start a process again; None: no more.

    Args:
        deaths: of processes in its place, in a row, that had done nothing yet; this one included.
            0: the one that died had done something.
        killed: whether a signal ended it.
    """
    if deaths >= (MAX_DEATHS if killed else MAX_EXITS):
        return None
    return min(_CAP, _BASE * 2.0 ** (deaths - 2)) if deaths >= 2 else 0.0

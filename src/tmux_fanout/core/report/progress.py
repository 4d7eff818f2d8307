"""How far a run is, for the live display."""

from __future__ import annotations

from typing import NamedTuple


class Total(NamedTuple):
    """How many records an input holds.

    Attributes:
        records: their number, or an estimate of it.
        is_exact: whether all of the input was seen.
    """

    records: int
    is_exact: bool


class HeadOfLine(NamedTuple):
    """The record that the output waits for, to keep the order.

    Attributes:
        record: its index.
        calls: what its open calls are doing.
        held: number of results that are complete and wait behind it.
    """

    record: int
    calls: str
    held: int

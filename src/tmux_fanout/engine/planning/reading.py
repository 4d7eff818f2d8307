"""Read the records of a plan: count all of them, and keep some, evenly spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tmux_fanout.core.records.parser import Record
from tmux_fanout.engine.io.streams import Source

_MAX_KEPT = 4096
_MAX_BYTES = 32 << 20


class SomeRecords(NamedTuple):
    """Records that stand for all: how many there are, and some of them, in order."""

    number: int
    some: Sequence[Record]


async def read_some(source: Source) -> SomeRecords:
    """Read a source to its end; every n-th record is kept, so that memory is bounded.

    Raises:
        InputError: the input broke off.
    """
    kept: list[Record] = []
    every, number, size = 1, 0, 0
    while chunk := await source.next_chunk():
        for record in chunk[-number % every :: every]:
            kept.append(record)
            size += record.size
        number += len(chunk)
        while len(kept) > 1 and (len(kept) > _MAX_KEPT or size > _MAX_BYTES):
            del kept[1::2]
            size = sum(record.size for record in kept)
            every *= 2
    return SomeRecords(number, kept)

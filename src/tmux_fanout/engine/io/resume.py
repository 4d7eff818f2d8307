"""Holding the output of an earlier run against the input, as streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.resume import Kept

_BLOCK = 256 << 10  # bytes of output at a time, to whole lines


class Lines(Protocol):
    """An output from its start, such as a file that was opened for reading."""

    def readlines(self, size: int, /) -> Sequence[bytes]:
        """The next lines, about as many as have this size; none at the end."""
        ...


class Expected(Protocol):
    """A source from its start, which then goes on with what was not taken."""

    async def take_on_trust(self, count: int, size: int) -> Sequence[Record | bytes]: ...


async def find_what_is_kept(
    output: Lines,
    source: Expected,
    names: Sequence[str],
    looked_at: Callable[[int], None] | None = None,
    failed: Callable[[Sequence[Record | bytes]], None] | None = None,
) -> Kept:
    """How much of an output may be kept; `source` then goes on with the record after that.

    Args:
        output: from its start.
        source: from its start.
        names: of the APIs.
        looked_at: is told, again and again, how many bytes of the output were looked at.
        failed: is told the records that are kept and not ok.

    Raises:
        Differs: the output is not of this input.
        InputError: the input broke off before the output did.
    """
    kept = Kept(names)
    while not kept.is_cut and (block := output.readlines(_BLOCK)):
        lines = kept.take(block)
        # Lines have their records in them; records that have more bytes are others.
        records = await source.take_on_trust(len(lines), sum(map(len, lines)))
        kept.hold(lines, records)
        if failed:
            failed([records[place] for place in kept.not_ok])
        if looked_at:
            looked_at(kept.size)
    return kept

"""Compare the output of an earlier run with the input, reading both as streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.resume import Kept

_BLOCK = 256 << 10  # bytes of output to check at a time, rounded up to whole lines


class Lines(Protocol):
    """An output, from its start; a binary file that is open for reading is one."""

    def readlines(self, size: int, /) -> Sequence[bytes]:
        """Return the next lines, about `size` bytes of them; none at the end."""
        ...


class Expected(Protocol):
    """A source, from its start, that accepts records back (`put_back`)."""

    async def next_chunk(self) -> Sequence[Record]: ...

    def put_back(self, records: Sequence[Record]) -> None: ...


async def find_what_is_kept(
    output: Lines,
    source: Expected,
    names: Sequence[str],
    report_size: Callable[[int], None] | None = None,
    add_failed: Callable[[Sequence[Record]], None] | None = None,
) -> Kept:
    """Return how much of an output to keep, and leave `source` at the first record after it.

    Args:
        output: The output, from its start.
        source: The input, from its start.
        names: The names of the APIs, in order.
        report_size: Called after each block with the bytes of output that are kept so far.
        add_failed: Called after each block with its records that are kept and not ok.

    Raises:
        OutputMismatch: The output does not belong to this input.
        InputError: The input broke off before the output did.
    """
    kept = Kept(names)
    while not kept.is_cut and (block := output.readlines(_BLOCK)):
        lines = kept.take(block)
        records = await _next_records(source, len(lines), sum(map(len, lines)))
        kept.check(lines, records)
        if add_failed:
            add_failed([records[index] for index in kept.not_ok])
        if report_size:
            report_size(kept.size)
    return kept


async def _next_records(source: Expected, count: int, max_bytes: int) -> list[Record]:
    """Read the next `count` records, or fewer at the end of the input or beyond `max_bytes`.

    Each line of output holds its record, so records with more bytes than their lines are others,
    and reading all of them would only cost memory.
    """
    records: list[Record] = []
    while len(records) < count and max_bytes >= 0:
        chunk = await source.next_chunk()
        if not chunk:
            break
        records += chunk
        max_bytes -= sum(record.size for record in chunk)
    source.put_back(records[count:])
    return records[:count]

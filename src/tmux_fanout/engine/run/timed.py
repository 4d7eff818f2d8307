"""Reading and writing, with the time that they take counted."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.core.errors import OutputError
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.streams import Sink, Source


async def timed_read(source: Source, statistics: RunStatistics) -> Sequence[Record]:
    """Return the next chunk, as `Source.next_chunk` does, and count the time that it takes."""
    began = trio.current_time()
    try:
        return await source.next_chunk()
    finally:
        statistics.input_seconds += trio.current_time() - began


async def timed_write(sink: Sink, results: Sequence[Result], statistics: RunStatistics) -> None:
    """Write results, as `Sink.put` does, and count those that were written and the time spent."""
    statistics.output_held.note("reader", trio.current_time())
    try:
        await sink.put(results)
    except OutputError as exc:
        statistics.wrote(results[: exc.whole])
        raise
    statistics.output_held.note(None, trio.current_time())
    statistics.wrote(results)

"""Read an output and its input side by side, for the ledger."""

from __future__ import annotations

from tmux_fanout.core.errors import InputError
from tmux_fanout.core.results.ledger import Ledger
from tmux_fanout.engine.io.source import LineReader
from tmux_fanout.engine.io.streams import Source

_LINES_TO_TELL = 1000  # an output without an envelope among its first lines has none


class NoEnvelopes(Exception):
    """The output is not in the format that `--emit envelope` writes."""


async def verify(ledger: Ledger, source: Source, output: LineReader) -> str:
    """Enter all lines and all records.

    Returns:
        Why the input or the output could not be read to its end; empty if both were.

    Raises:
        NoEnvelopes: The output has no line that can be verified.
    """
    error = ""
    try:
        try:
            while not output.is_at_end:
                await _enter_lines(ledger, source, output)
        except _OutputError as exc:
            error = str(exc)
        _check_envelopes(ledger)
        ledger.end_output(is_torn=bool(error or output.last_lines()))
        while await _add_records(ledger, source):
            pass
    except InputError as exc:
        error = str(exc)
    return error


class _OutputError(Exception):
    """The output could not be read; told apart from an input that could not."""


async def _enter_lines(ledger: Ledger, source: Source, output: LineReader) -> None:
    try:
        lines = await output.next_lines()
    except InputError as exc:
        raise _OutputError(str(exc)) from exc
    for line in lines:
        while not ledger.add_line(line):
            await _add_records(ledger, source)
    if ledger.lines >= _LINES_TO_TELL:
        _check_envelopes(ledger)


async def _add_records(ledger: Ledger, source: Source) -> bool:
    records = await source.next_chunk()
    ledger.add_records(records)
    return bool(records)


def _check_envelopes(ledger: Ledger) -> None:
    if ledger.lines and not ledger.envelopes:
        raise NoEnvelopes

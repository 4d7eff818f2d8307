"""What a report says of a run in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tmux_fanout.core.review.figures import OutputFigures
from tmux_fanout.core.review.tables import duration, shown_path
from tmux_fanout.core.text import counted, printable


class Lines(Protocol):
    """How many lines an output has, and how many of them are damaged."""

    @property
    def output(self) -> str: ...

    @property
    def lines(self) -> int: ...

    @property
    def damaged(self) -> int: ...

    @property
    def first_damage(self) -> str | None: ...


def damage(output: Lines) -> str:
    """Return what is wrong with lines of the output; "" if nothing is."""
    if not output.damaged:
        return ""
    what = f"{output.damaged:,} of {counted(output.lines, 'line')}"
    verb = "is" if output.damaged == 1 else "are"
    where = f"{what} of {shown_path(output.output)} {verb} not of --emit envelope, and left out"
    return f"{where}: {printable(output.first_damage or '')}"


def notes(output: OutputFigures) -> Iterator[str]:
    """Yield what is to be known of an output before its figures are read."""
    if not output.lines:
        yield "The output is empty."
    if output.damaged:
        yield damage(output)
    run = output.summary
    if run is not None and run.written != output.lines:
        lines = counted(output.lines, "line")
        yield (
            f"The summary is of a run that wrote {run.written:,}, and the output has {lines}: "
            "it may be that of another run."
        )
    if output.cut_short:
        records = counted(output.cut_short, "record")
        verb = "was" if output.cut_short == 1 else "were"
        yield f"{records} {verb} cut short; --resume completes the run."
    if output.invalid:
        verb = "is no record" if output.invalid == 1 else "are no records"
        yield f"{counted(output.invalid, 'line')} of the input {verb}."


def held_back(output: OutputFigures) -> str | None:
    """Return what held the run back, in a sentence; None if its summary is not known."""
    run = output.summary
    if run is None:
        return None
    slowed_by = printable(run.bottleneck or "nothing held it back for long")
    took = f"the run took {duration(run.seconds)} and made {counted(run.requests, 'request')}"
    ended = "" if run.ending.value == "finished" else f"; ended by: {run.ending.value}"
    return f"{slowed_by}; {took}{ended}"


def findings(output: OutputFigures) -> Iterator[str]:
    """Yield all sentences."""
    if (held := held_back(output)) is not None:
        yield held
    if output.summary:
        yield from (f"Warning: {printable(text)}" for text in output.summary.warnings)
    yield from notes(output)

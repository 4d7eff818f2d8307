"""The report on a run with faults at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tmux_fanout.core.testing.promises import Outcome
from tmux_fanout.core.testing.report import rule
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.units import show_duration

_MAX_BROKEN = 20
_MAX_NOTICES = 5
PROMISES = "one line for each record, {order}; nothing sent twice that must not be; no limit passed"


def chaos_report(
    seed: int,
    outcome: Outcome,
    met: Mapping[str, Mapping[str, int]],
    broken: Sequence[str],
    *,
    seconds: float,
    is_ordered: bool,
    notices: Sequence[str] = (),
) -> Iterator[str]:
    """Yield what was drawn, what came out, and whether the promises hold.

    Args:
        seed: of the faults.
        outcome: of the run.
        met: for each API, how often each fault was drawn.
        broken: the promises that were broken.
        seconds: of virtual time.
        is_ordered: whether lines have the order of the records.
        notices: what the run would have told the user.
    """
    took = show_duration(round(seconds, 1))
    yield f"seed {seed}: {counted(outcome.read, 'record')} in {took} of virtual time"
    yield ""
    for name, faults in met.items():
        yield f"{printable(name, 40)}: {counted(sum(faults.values()), 'request')}"
        yield from _numbered(faults)
    yield ""
    ok = sum(line["ok"] for line in outcome.lines)
    yield f"{counted(len(outcome.lines), 'line')}: {ok:,} ok, {len(outcome.lines) - ok:,} not ok"
    yield from _numbered(_failures(outcome.lines))
    for notice in notices[-_MAX_NOTICES:]:
        yield f"notice: {printable(notice)}"
    if len(notices) > _MAX_NOTICES:
        yield f"and {counted(len(notices) - _MAX_NOTICES, 'notice')} before"
    yield ""
    if not broken:
        yield PROMISES.format(order="in any order" if not is_ordered else "in order")
        return
    yield rule("=", "BROKEN PROMISES")
    yield from map(printable, broken[:_MAX_BROKEN])
    if len(broken) > _MAX_BROKEN:
        yield f"and {len(broken) - _MAX_BROKEN:,} more"


def _numbered(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield a line for each count, the largest first."""
    for what, number in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{number:7,}  {what}"


def _failures(lines: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Count what is not ok by API and kind, as `score: timeout`."""
    found = Counter[str]()
    for line in lines:
        if error := line.get("error"):
            found[error["kind"]] += 1
        for name, result in line.get("results", {}).items():
            if error := result.get("error"):
                kind = error["kind"]
                what = f"HTTP {result['status']}" if kind == "status" else kind
                found[f"{printable(name, 40)}: {what}"] += 1
    return found


def chaos_conclusion(seed: int, broken: Sequence[str], seconds: float) -> str:
    """Return the last line."""
    number = len(broken)
    what = f"{counted(number, 'promise')} broken" if number else "all promises held"
    return rule("=", f"seed {seed}: {what} in {seconds:.2f}s")

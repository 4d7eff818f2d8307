"""Show the ledger of `verify` as a table for people, or as JSON for programs."""

from __future__ import annotations

import msgspec

from tmux_fanout.core.results.ledger import Ledger, Verdict

_VERDICTS = {
    Verdict.COMPLETE: "complete and faithful",
    Verdict.INCOMPLETE: "incomplete",
    Verdict.FOREIGN: "does not belong to the input",
}


def ledger_json(ledger: Ledger) -> str:
    """Return the ledger as one JSON object on one line."""
    return msgspec.json.encode(
        {
            "verdict": _VERDICTS[ledger.verdict],
            "read": ledger.read,
            "ok": ledger.ok,
            "not_ok": ledger.not_ok,
            "errors": dict(ledger.errors),
            "cut_short": ledger.cut_short,
            "missing": ledger.missing,
            "doubled": ledger.doubled,
            "out_of_order": ledger.out_of_order,
            "altered": ledger.altered,
            "unknown": ledger.unknown,
            "torn": ledger.is_torn,
            "lines": ledger.lines,
            "first_missing": ledger.first_missing,
            "first_fault": ledger.fault or None,
        }
    ).decode()


def ledger_table(ledger: Ledger) -> str:
    """Return the ledger as a table of its numbers, with the verdict below."""
    rows = [("read", ledger.read), ("ok", ledger.ok), ("not ok", ledger.not_ok)]
    rows += [(f"  {kind}", count) for kind, count in ledger.errors.most_common()]
    rows += [
        ("cut short", ledger.cut_short),
        ("missing", ledger.missing),
        ("doubled", ledger.doubled),
        ("out of order", ledger.out_of_order),
        ("altered", ledger.altered),
        ("unknown", ledger.unknown),
    ]
    left = max(len(name) for name, _ in rows)
    right = max(len(f"{count:,}") for _, count in rows)
    lines = [f"{name:<{left}}  {count:>{right},}" for name, count in rows]
    return "\n".join([*lines, _why(ledger)])


def _why(ledger: Ledger) -> str:
    """Return the verdict with its reasons."""
    verdict = _VERDICTS[ledger.verdict]
    if ledger.verdict is Verdict.FOREIGN:
        return f"{verdict}: {ledger.fault}"
    if ledger.verdict is Verdict.COMPLETE:
        return verdict
    reasons = []
    if ledger.first_missing is not None:
        reasons.append(f"the first missing record is {ledger.first_missing}")
    if ledger.is_torn:
        reasons.append("the last line is cut off")
    if ledger.cut_short:
        reasons.append("records that were cut short need another run")
    return f"{verdict}: {', '.join(reasons)}"

"""Lines of output as a run with known failures would have written them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any


def outcome(
    seconds: float = 0.01, attempts: int = 1, kind: str = "", status: int | None = 200, **more: Any
) -> dict[str, Any]:
    """Return an outcome; it is not ok if it has a kind of error."""
    made: dict[str, Any] = {"ok": not kind}
    if status is not None:
        made |= {"status": status, "body": {"a": 1}}
    if kind:
        made["error"] = {"kind": kind, "message": more.pop("message", f"message of {kind}")}
    return {**made, "attempts": attempts, "seconds": round(seconds, 4), **more}


def line(index: int, results: Mapping[str, Any], **more: Any) -> bytes:
    """Return a line, without its line break; the record is ok if all its outcomes are."""
    ok = all(each["ok"] for each in results.values())
    made = {"index": index, "record": more.pop("record", index), "ok": ok, "results": results}
    return json.dumps(made | more, separators=(",", ":")).encode()


def eventful(count: int, seed: int = 1, *, timed: bool = False) -> Iterator[bytes]:
    """Yield the lines of a run in which a slow phase, a burst of 429s and an outage are.

    `slow` takes ten times as long from 20 % to 30 % of the run, `limited` refuses from 45 % to
    50 %, and `down` cannot be connected to from 70 % to 75 %.
    """
    chance = random.Random(seed)
    started = 1_700_000_000.0
    for index in range(count):
        share = index / count
        base = chance.lognormvariate(-3, 0.5)
        results = {"slow": outcome(base * (10 if 0.2 <= share < 0.3 else 1))}
        if 0.45 <= share < 0.5:
            is_lost = chance.random() < 0.2
            kind, status = ("status", 429) if is_lost else ("", 200)
            results["limited"] = outcome(base + 1, 3, kind, status)
        else:
            results["limited"] = outcome(base)
        if 0.7 <= share < 0.75:
            results["down"] = outcome(2, 3, "connect", None, message="connection refused")
        else:
            results["down"] = outcome(base / 2)
        more = {"started": round(started, 3)} if timed else {}
        started += 0.001 if share < 0.7 or share >= 0.75 else 0.05
        yield line(index, results, **more)

"""Whether a value has an expected part, and where it differs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tmux_fanout.core.text import counted, printable

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 200
_BEFORE = 20  # characters shown before the first that differs in long texts

NOTHING = "nothing"


class Difference(NamedTuple):
    """Where a value differs.

    Attributes:
        path: keys and indexes that lead there, as in `results.score.body[0]`.
        expected: what is expected there.
        got: what is there.
    """

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


def differences(expected: Any, got: Any, path: str = "") -> Iterator[Difference]:
    """Yield where a value lacks an expected part.

    Of a table only the expected keys count; a list has as many items as expected; anything else is
    equal, and numbers may be spelled in any way.

    Args:
        expected: the part, a value of JSON.
        got: the value.
        path: that leads to it.
    """
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key, part in expected.items():
            below = joined(path, key)
            if key in got:
                yield from differences(part, got[key], below)
            else:
                yield Difference(below, show(part), NOTHING)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (part, item) in enumerate(zip(expected, got)):
            yield from differences(part, item, f"{path}[{index}]")
    elif not _are_equal(expected, got):
        yield _difference(expected, got, path)


def joined(path: str, key: str) -> str:
    """Return a path with a key after it."""
    shown = key if _BARE.fullmatch(key) else json.dumps(key)
    return f"{path}.{shown}" if path else shown


def show(value: Any, limit: int = _SHOWN) -> str:
    """Return a value as JSON, on one line and not too long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return printable(text, limit)


def _are_equal(expected: Any, got: Any) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    is_same_kind = isinstance(expected, (int, float)) and isinstance(got, (int, float))
    return (is_same_kind or type(expected) is type(got)) and bool(expected == got)


def _difference(expected: Any, got: Any, path: str) -> Difference:
    if isinstance(expected, list) and isinstance(got, list):
        wanted = f"{counted(len(expected), 'item')}: {show(expected)}"
        return Difference(path, wanted, f"{counted(len(got), 'item')}: {show(got)}")
    if isinstance(expected, str) and isinstance(got, str):
        start = max(0, _first_difference(expected, got) - _BEFORE)
        if start and max(len(expected), len(got)) > _SHOWN // 2:
            shown = [f"…{show(text[start:])}" for text in (expected, got)]
            return Difference(f"{path} from character {start + 1}", *shown)
    return Difference(path, show(expected), show(got))


def _first_difference(one: str, other: str) -> int:
    pairs = zip(one, other)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))

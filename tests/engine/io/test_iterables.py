"""Values of Python as records: JSON, or not records at all."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tmux_fanout.core.json_text import JSONNumber
from tmux_fanout.engine.io.iterables import record_of

NAN, INFINITE = float("nan"), float("inf")


class Struct(msgspec.Struct):
    score: float


@dataclasses.dataclass
class Data:
    score: float | None


@pytest.mark.parametrize(
    "value",
    [
        NAN,
        -INFINITE,
        {"a": [1, {"b": (2.5, INFINITE)}]},
        [None, NAN],
        {NAN},
        Struct(NAN),
        [Data(INFINITE)],
    ],
    ids=repr,
)
def test_a_number_that_json_does_not_have_is_no_record(value: Any) -> None:
    """It is not sent as null."""
    record = record_of(3, value)
    assert record.error
    assert record.error.kind == "invalid_record"
    assert record.error.message.startswith("record 3: not JSON: it has no number ")
    assert record.value is value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": None, "b": JSONNumber("1e1000")}, b'{"a":null,"b":1e1000}'),
        ([None, "nan", 1e308], b'[null,"nan",1e308]'),
        (Data(None), b'{"score":null}'),
        ({"a": "null", "b": Decimal("1.50")}, b'{"a":"null","b":"1.50"}'),
        ("\ud800 null", rb'"\ud800 null"'),
        (None, b"null"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_null_stays_null(value: Any, text: bytes) -> None:
    """What looks like such a number, and is none, passes."""
    record = record_of(0, value)
    assert record.error is None
    assert record.json == text

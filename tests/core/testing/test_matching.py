"""Parts of values, and where they differ."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.testing.matching import differences


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ({}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}),
        ([{"a": 1}, 2], [{"a": 1, "b": 2}, 2]),
        (3, 3.0),
        (None, None),
        ({"a": None}, {"a": None}),
        ("x" * 500, "x" * 500),
    ],
)
def test_parts_are_found(expected: Any, got: Any) -> None:
    """Keys that are not expected do not count, and numbers may be spelled in any way."""
    assert list(differences(expected, got)) == []


@pytest.mark.parametrize(
    ("expected", "got", "text"),
    [
        ({"a": {"b": 3}}, {"a": {"b": None}}, "a.b: expected 3, got null"),
        ({"a": 3}, {"b": 3}, "a: expected 3, got nothing"),
        ({"a b": [1, 2]}, {"a b": [1, 3]}, '"a b"[1]: expected 2, got 3'),
        ({"a": [1]}, {"a": [1, 2]}, "a: expected 1 item: [1], got 2 items: [1,2]"),
        ({"a": True}, {"a": 1}, "a: expected true, got 1"),
        ({"a": 0}, {"a": False}, "a: expected 0, got false"),
        ({"a": "1"}, {"a": 1}, 'a: expected "1", got 1'),
        ({"a": {"b": 1}}, {"a": [1]}, 'a: expected {"b":1}, got [1]'),
        ({"a": "\x1b[31m"}, {"a": ""}, r'a: expected "\u001b[31m", got ""'),
    ],
)
def test_differences_have_their_path(expected: Any, got: Any, text: str) -> None:
    """A difference says where it is, what is expected there and what is there."""
    assert list(map(str, differences(expected, got))) == [text]


def test_all_differences_are_found() -> None:
    """One difference hides no other."""
    found = differences({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 0, "b": {"c": 0, "d": 3}})
    assert [each.path for each in found] == ["a", "b.c"]


def test_long_texts_are_shown_from_where_they_differ() -> None:
    """Of long texts only the part is shown in which they differ."""
    [found] = differences({"a": "x" * 300 + "one"}, {"a": "x" * 300 + "two"})
    assert found.path == "a from character 281"
    assert found.expected == f'…"{"x" * 20}one"'
    assert found.got == f'…"{"x" * 20}two"'


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(_JSON, _JSON)
def test_differences_are_those_of_the_values(one: Any, other: Any) -> None:
    """A value has itself as a part; and two that have each other as a part are equal."""
    assert list(differences(one, one)) == []
    found = [*differences(one, other), *differences(other, one)]
    assert bool(found) == (json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert all(str(each).isprintable() for each in found)

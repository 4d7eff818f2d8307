"""JMESPath over records and bodies."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.expressions import Expression, ExpressionError
from tmux_fanout.core.fields import MissingField

RECORD: dict[str, Any] = {"message": "hi", "user": {"id": 3}, "null": None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("message", "hi"),
        ("{text: message, id: user.id}", {"text": "hi", "id": 3}),
        ("missing || message", "hi"),
        ("user.missing || `4`", 4),
        ("not_null(missing, user.id)", 3),
        ("null", None),
        ("length(message)", 2),
        ("`1`", 1),
    ],
)
def test_strict_expression_finds(text: str, found: Any) -> None:
    """What is there is found; what the expression provides for may be missing."""
    assert Expression("body", text, strict=True).search(RECORD) == found


@pytest.mark.parametrize(("text", "name"), [("missing", "missing"), ("{a: user.b}", "b")])
def test_strict_expression_names_what_is_missing(text: str, name: str) -> None:
    """A typing error in a body's expression sends no null."""
    with pytest.raises(MissingField, match=f"^{name}$"):
        Expression("body", text, strict=True).search(RECORD)


def test_lenient_expression_finds_null_for_what_is_missing() -> None:
    """In `when` and `select`, a field that is not there is null, as in JMESPath."""
    assert Expression("when", "level == 'error'", strict=False).search(RECORD) is False
    assert Expression("select", "a.b", strict=False).search(RECORD) is None


@pytest.mark.parametrize("text", ["{text", "a ||", "foo(", "", "a b"])
def test_what_is_no_expression_is_a_configuration_error(text: str) -> None:
    """It is told before anything is sent, with the key."""
    with pytest.raises(ConfigError, match=r"^when: not a JMESPath expression"):
        Expression("when", text, strict=False)


def test_function_that_does_not_fit_is_an_error_of_the_record() -> None:
    """Values that a function does not take are told on one line."""
    with pytest.raises(ExpressionError, match=r"^body: .*length"):
        Expression("body", "length(user.id)", strict=True).search(RECORD)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("contains(t, id)", {"t": "abc", "id": 1}),
        ("floor(n)", {"n": float("inf")}),
        ("floor(to_number(t))", {"t": "nan"}),
        ("t[::0]", {"t": [1]}),
        ("join(',', t)", {"t": [1]}),
    ],
)
def test_whatever_a_function_trips_over_is_an_expression_error(text: str, value: object) -> None:
    """Python's own errors too: one odd record must not end a run."""
    for strict in (True, False):
        with pytest.raises(ExpressionError, match=r"^body: "):
            Expression("body", text, strict=strict).search(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenght(x)", "body: there is no function lenght(); did you mean length?"),
        ("{a: [max(x, y)]}", "body: max() takes 1 arguments"),
        ("merge()", "body: merge() takes at least 1 arguments"),
        ("x[?starts_with(@)]", "body: starts_with() takes 2 arguments"),
    ],
)
def test_functions_are_checked_before_any_record(text: str, message: str) -> None:
    """A name or a number of arguments that no record could mend."""
    with pytest.raises(ConfigError) as caught:
        Expression("body", text, strict=True)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["items[0]", "items[-1]", "items[*].x", "{all: items[*]}"])
def test_strict_misses_lists_too(text: str) -> None:
    """Where there is none, or it is too short, nothing is sent as null."""
    with pytest.raises(MissingField):
        Expression("body", text, strict=True).search({"items": "x"})
    assert Expression("body", "items[0] || 'none'", strict=True).search({"items": []}) == "none"

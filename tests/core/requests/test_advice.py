"""What people write for JMESPath, and the line that they are told to write instead."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import decode_spelled
from tmux_fanout.core.requests.advice.diagnosis import diagnose, find_trap
from tmux_fanout.core.requests.advice.pasted import rewrite_json
from tmux_fanout.core.requests.advice.tokens import tokenize
from tmux_fanout.core.requests.expressions import Expression, ExpressionError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('level == "error"', "level == 'error'"),
        ('level != "error" && x', "level != 'error' && x"),
        ('x[?level == "error"].id', "x[?level == 'error'].id"),
        ('"error" == level', "'error' == level"),
        ('"level" == "error"', "\"level\" == 'error'"),
        ('day > "2026-01-01"', "day > '2026-01-01'"),
        ('a == "it\'s"', r"a == 'it\'s'"),
        ('a == "\\t"', 'a == `"\\t"`'),
        ('name || "unknown"', "name || 'unknown'"),
        ('contains(tags, "new")', "contains(tags, 'new')"),
        ('starts_with(path, "/api") && x', "starts_with(path, '/api') && x"),
        ('join(", ", tags)', "join(', ', tags)"),
        ("done == true", "done == `true`"),
        ("false != done", "`false` != done"),
        ("deleted == null", "deleted == `null`"),
        ("{on: true}", "{on: `true`}"),
        ("true", "`true`"),
        ('{"text": "message"}', "{text: 'message'}"),
        ('{"text": "{message}"}', "{text: message}"),
        ('{"q": "Sum up: {{ user.note }}!"}', "{q: join('', ['Sum up: ', user.note, '!'])}"),
        ('{"q": "${id}", "first-name": "x"}', "{q: id, \"first-name\": 'x'}"),
        ('{"n": 5, "on": true, "of": null}', "{n: `5`, on: `true`, of: `null`}"),
        ('[{"role": "user", "content": []}]', "[{role: 'user', content: `[]`}]"),
        ("{}", "`{}`"),
        ('{"input": "@"}', "{input: @}"),
    ],
)
def test_text_that_says_something_else_is_an_error(written: str, meant: str) -> None:
    """It would be valid, or nearly, and never true; the message has the line to write."""
    for strict in (True, False):
        with pytest.raises(ConfigError) as info:
            Expression("when", written, strict=strict)
        assert f": write {meant}" in str(info.value)
        assert str(info.value).startswith("when: ")
        Expression("when", meant, strict=strict)


@pytest.mark.parametrize(
    "text",
    [
        "\"first name\" == 'x'",
        "'x' == \"first name\"",
        '"first name"',
        '"true" == `1`',
        'x == @."first name"',
        '@."first name" == x',
        'x == "first name".y',
        '["first name", "last name"]',
        '{"text": message}',
        "{true: x, null: y}",
        "a.true || a.null",
        '"a" || "first name"',
        "starts_with(\"first name\", 'x')",
        "[0]",
        "[]",
        "[-1]",
        "x[1:2].y",
        "x[?y > `5`][0]",
        "'level == \"error\"'",
        "contains(`[\"true\", null]`, 'x')",
        "length(x) > `0`",
    ],
)
def test_expression_that_says_what_it_means_is_accepted(text: str) -> None:
    """Names that need quotes keep them, and what stands in literals is left alone."""
    Expression("when", text, strict=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("n > 5", "n > `5`"),
        ("n == -1.5e3", "n == `-1.5e3`"),
        ("{n: 5, list: [1, 2], first: a[0], some: a[1:2]}", None),
        ("a = 'x'", "a == 'x'"),
        ("a and not b or c", "a && ! b || c"),
        ("user-id", '"user-id"'),
        ("a.user-id", 'a."user-id"'),
        ("$.a.b[0]", "a.b[0]"),
        ("$", "@"),
        (".a.b", "a.b"),
        ("{text}", "{text: text}"),
        ("{text, n: a.b}", "{text: text, n: a.b}"),
        ("{'text': message}", "{text: message}"),
        ('{"text": message, "n": 5}', '{"text": message, "n": `5`}'),
        ('level == "a" && n > 3', "level == 'a' && n > `3`"),
        ("user name", '"user name"'),
        (" user.First Name ", 'user."First Name"'),
        ("[].user name", '[]."user name"'),
        ("user name == 'a b' && n > 3", "\"user name\" == 'a b' && n > `3`"),
        ("größe", '"größe"'),
        ("{text: first name, n: last-name}", '{text: "first name", n: "last-name"}'),
        ("Größe: {user.First Name}", "join('', ['Größe: ', user.\"First Name\"])"),
        ("Summarize: {message}", "join('', ['Summarize: ', message])"),
        (
            "Dear {{ user.name }}, it's ${day}.",
            r"join('', ['Dear ', user.name, ', it\'s ', day, '.'])",
        ),
    ],
)
def test_invalid_expression_is_answered_with_a_valid_one(written: str, meant: str | None) -> None:
    """Mistakes of those who know another language are recognised, several at once."""
    if meant is None:
        meant = "{n: `5`, list: [`1`, `2`], first: a[0], some: a[1:2]}"
    with pytest.raises(ConfigError) as info:
        Expression("body", written, strict=True)
    assert str(info.value).startswith("body: invalid JMESPath expression: ")
    assert str(info.value).endswith(f": write {meant}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("level ==", "it is incomplete; in a shell, put it in single quotes"),
        ("a == 'x", "the ' at character 6 is not closed"),
        ('a == "x', 'the " at character 6 is not closed'),
        ("a @", "see character 3"),
        ("", "use one that is not empty"),
    ],
)
def test_other_mistakes_are_located(text: str, why: str) -> None:
    """Where no better line is known, the message says where to look."""
    with pytest.raises(ConfigError) as info:
        Expression("body", text, strict=True)
    assert str(info.value) == f"body: invalid JMESPath expression: {why}"


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        (
            "join(', ', ids)",
            {"ids": [1]},
            "join() takes a list of text, not one with a number in it: "
            "write join(', ', map(&to_string(@), ids))",
        ),
        (
            "{all: join(' ', a[*].n)}",
            {"a": [{"n": 1.5}]},
            "join() takes a list of text, not one with a number in it: "
            "write {all: join(' ', map(&to_string(@), a[*].n))}",
        ),
        (
            "starts_with(id, '4')",
            {"id": 4},
            "starts_with() takes text, not a number: write starts_with(to_string(id), '4')",
        ),
        (
            "contains(tags, 'x')",
            {"tags": None},
            "contains() takes a list or text, not null: write contains(tags || `[]`, 'x')",
        ),
        (
            "sum(n)",
            {"n": ["1"]},
            "sum() takes a list of numbers, not one with text in it: "
            "write sum(map(&to_number(@), n))",
        ),
        ("abs(n)", {"n": "1"}, "abs() takes a number, not text: write abs(to_number(n))"),
        ("n > '5'", {"n": 4}, "a number is compared with text: write n > `5`"),
        (
            "n > m",
            {"n": 4, "m": "5"},
            "a number is compared with text: convert the text with to_number(...)",
        ),
        (
            "contains(t, n)",
            {"t": "a4", "n": 4},
            "contains() finds only text in text: convert a number with to_string(...)",
        ),
        ("[abs(a), abs(b)]", {"a": "s", "b": 1}, "abs() takes a number, not text"),
        ("sort_by(a, &b)", {"a": [{"b": []}]}, "sort_by() takes text or a number, not a list"),
    ],
)
def test_value_that_does_not_fit_is_answered_with_a_conversion(
    text: str, value: Any, message: str
) -> None:
    """The message shows no value of the record."""
    for strict in (True, False):
        with pytest.raises(ExpressionError) as info:
            Expression("select", text, strict=strict).search(value)
        assert str(info.value) == f"select: {message}"


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(PLAIN, VALUES))
def test_expression_for_pasted_json_has_its_value(value: dict[str, Any]) -> None:
    """The line to write is an expression, and finds exactly what was pasted."""
    written = rewrite_json(json.dumps(value))
    assert written is not None
    assert Expression("body", written, strict=True).search(decode_spelled(b'{"x":1}')) == value


@given(st.text(st.sampled_from("ab.,:-=<>!&|$@'\"`\\{}[]()?05 \ntrue")) | st.text())
def test_any_text_is_diagnosed(text: str) -> None:
    """Whatever is written, there is one printable line, and no token is lost."""
    for why in (find_trap(text), diagnose(text, ValueError())):
        assert why is None or why.isprintable()
    at = 0
    for token in tokenize(text):
        assert text[at : token.start].strip() == ""
        assert text[token.start : token.end] == token.text
        at = token.end
    assert text[at:].strip() == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("join('', [file(f), 'x'])", "join() takes a list of text, not one with a file in it"),
        ("length(file(f))", "length() takes text, a list or an object, not a file"),
        ("file(file(f))", "file() takes text, an object or null, not a file"),
        ("base64(file(f))", "base64() takes text, not a file"),
        (
            "to_string(file(f))",
            "to_string() takes values of JSON, not a file: the content of a file is not text: give "
            "the field file(path) alone",
        ),
    ],
)
def test_files_are_called_so(text: str, message: str) -> None:
    """Other functions do not take them, and a message has no names of our own classes."""
    with pytest.raises(ExpressionError) as info:
        Expression("body", text, strict=True, names_files=True).search({"f": "a"})
    assert str(info.value) == f"body: {message}"

"""Columns: where a text is split, and which mistakes are seen before anything is sent."""

from __future__ import annotations

import pytest

from tmux_fanout.core.conversion.columns import check_apis, parse_columns
from tmux_fanout.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("id=record.id", {"id": "record.id"}),
        (" id = record.id ,\n b=record.b,", {"id": "record.id", "b": "record.b"}),
        ("a=join(',', record.x), b=ok", {"a": "join(',', record.x)", "b": "ok"}),
        ("a=record.[x, y], b={p: ok, q: raw}", {"a": "record.[x, y]", "b": "{p: ok, q: raw}"}),
        ("a=record.\"x,y\", b=`\",\"`", {"a": 'record."x,y"', "b": '`","`'}),
        (r"a='it\'s, so', b=ok", {"a": r"'it\'s, so'", "b": "ok"}),
        ("ok=results.a.status == `200`", {"ok": "results.a.status == `200`"}),
        ('"a, b"=ok, First Name=raw', {"a, b": "ok", "First Name": "raw"}),
    ],
)  # fmt: skip
def test_columns_are_separated_by_commas_outside_brackets_and_quotes(
    text: str, columns: dict[str, str]
) -> None:
    """Names come before the first equals sign, and blanks around them do not count."""
    assert {column.name: column.expression.text for column in parse_columns(text)} == columns


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "",
            "invalid column '': use NAME=EXPRESSION, separated by commas, such as 'id=record.id, ",
        ),
        ("record.id", "invalid column 'record.id': use NAME=EXPRESSION"),
        ("=record.id", "invalid column '=record.id': use NAME=EXPRESSION"),
        ("results.a.status == `2`", "invalid column 'results.a.status == `2`': use NAME=EXPR"),
        ("a=ok,,b=ok", "invalid column '': use NAME=EXPRESSION"),
        ("a=ok,a=raw", "two columns are called 'a': rename one"),
        ("a=", "column 'a': invalid JMESPath expression"),
        ("a=record.[", "column 'a': invalid JMESPath expression: it is incomplete"),
        ("a=nix(ok)", "column 'a': unknown function nix()"),
        ("a=id", "column 'a': an envelope has no key 'id': use record.id, or results.NAME.body"),
        ("a=ok && length(id)", "column 'a': an envelope has no key 'id': use record.id, or"),
        ("a=results.x.score", "an outcome has no key 'score': use results.x.body.score"),
        ("a=results.x.error.code", "an error has no key 'code': use results.x.error.kind or"),
    ],
)
def test_columns_that_no_envelope_can_fill_are_errors(text: str, why: str) -> None:
    """The message has what to write instead."""
    with pytest.raises(ConfigError) as caught:
        parse_columns(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "record.id",
        "record.*.x | [0]",
        "results.*.body",
        "results.x.body.error.code",
        "results.x.headers.etag",
        "results.x.error.message || error.message",
        "keys(results)",
        "[index, ok, raw, encoding, results.x.seconds]",
        "results.x.{s: status}",
        "record.items[?id > `3`].id",
        "@",
        "'id'",
        "sort_by(record.items, &id)",
        'results."x".via',
    ],
)
def test_expressions_that_an_envelope_can_fill_are_columns(text: str) -> None:
    """Only what an expression begins with is checked."""
    columns = parse_columns(f"a={text}")
    check_apis(columns, ["x"])


def test_columns_of_another_api_are_errors() -> None:
    """The nearest one is named, where the names are known."""
    with pytest.raises(
        ConfigError, match=r"column 'a': there is no API 'scor'; did you mean score"
    ):
        check_apis(parse_columns("a=results.scor.body"), ["score", "x"])

"""What `[[test]]` tables state, and the mistakes in them."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.testing.statement import ConfigTest, parse_tests


def parse(text: str, input_format: str | None = None) -> list[ConfigTest]:
    """Parse a test without its header."""
    written = tomllib.loads(f"[[test]]\n{text}")["test"]
    return list(parse_tests(written, ["score", "lookup"], input_format))


def test_everything_is_understood() -> None:
    """A test with all keys."""
    [test] = parse(
        """
        name = "all"
        record = { at = 2026-01-02T03:04:05Z, n = 1.0 }
        replies.score = [
            { status = 503, headers = { Retry-After = 2, X = ["a", "b"] }, delay = "1s" },
            { error = "timeout" },
        ]
        replies.lookup.body = "text"
        tokens.score = { body = { access_token = "t" } }
        expect.results.score.body = { at = 2026-01-02 }
        expect_request.score = [{ method = "POST" }, { headers = { X = "1" } }]
        """
    )
    assert test.title == "test 1: all"
    assert test.records == [{"at": "2026-01-02T03:04:05Z", "n": 1.0}]
    first, second = test.replies["score"]
    assert (first.status, first.delay, second.error) == (503, 1.0, "timeout")
    assert first.headers == ((b"retry-after", b"2"), (b"x", b"a"), (b"x", b"b"))
    [text] = test.replies["lookup"]
    assert (text.body, text.headers) == (b"text", ())
    [token] = test.tokens["score"]
    assert token.body == b'{"access_token":"t"}'
    assert token.headers == ((b"content-type", b"application/json"),)
    assert test.expect == [{"results": {"score": {"body": {"at": "2026-01-02"}}}}]
    assert not test.expect_request["score"].is_first
    assert test.expect_request["score"].parts == [{"method": "POST"}, {"headers": {"X": "1"}}]


@pytest.mark.parametrize(
    ("record", "input_format", "records"),
    [
        ('record = "text"', "lines", ["text"]),
        ("records = [1, [2], { a = 3 }]", None, [1, [2], {"a": 3}]),
        ("line = '{\"a\": null}'", None, [b'{"a": null}']),
        ("line = '{\"a\": nul'", None, [b'{"a": nul']),
        ("line = 'a, b'", "lines", ["a, b"]),
    ],
)
def test_records(record: str, input_format: str | None, records: list[Any]) -> None:
    """A record is a value or a line; a line may be invalid."""
    [test] = parse(f"{record}\nexpect_request.score = []", input_format)
    assert test.records == records


def test_null_can_be_expected() -> None:
    """What is expected may be text of JSON, which has null."""
    [test] = parse("""record = 1\nexpect = '{"results": {"score": {"body": null}}}'""")
    assert test.expect == [{"results": {"score": {"body": None}}}]


MISTAKES = {
    "record = 1": "nothing is expected: add expect, such as expect.ok = true, or expect_request",
    "expect.ok = true": "no record: use one such as { id = 1 }, or line = '{\"id\": null}'",
    "record = 1\nline = '1'\nexpect.ok = true": (
        "record and line: only one of them is possible: use"
    ),
    "records = 1\nexpect.ok = true": "records: not a list of records: use",
    "records = []\nexpect = []": "records: not a list of records: use",
    "record = nan\nexpect.ok = true": "record: not possible in JSON: it has no number nan",
    "line = ''\nexpect.ok = true": "line: invalid line '': use one line of the input, in quotes",
    "record = 1\nexpects.ok = true": "unknown key 'expects': did you mean expect?",
    "record = 1\nexpect.oks = true": "expect: unknown key 'oks': did you mean ok?",
    "record = 1\nexpect.score.body = 1": "expect: unknown key 'score' here: write results.score",
    "record = 1\nexpect.results.scor.ok = true": (
        "expect.results: unknown API 'scor': did you mean score?"
    ),
    "record = 1\nexpect.results.score.stat = 1": (
        "expect.results.score: unknown key 'stat': did you mean status?"
    ),
    "records = [1, 2]\nexpect = [{ ok = true }, { result = 1 }]": (
        "expect: unknown key 'result': did you mean results?"
    ),
    "record = 1\nexpect = 'ok'": "expect: not JSON: ",
    "record = 1\nexpect = '[]'": "expect: not a table: use one such as { ok = true }",
    "records = [1, 2]\nexpect.ok = true": "expect: 1 result for 2 records: use a list",
    "record = 1\nexpect.ok = true\nname = 1": "name: invalid name 1: use text in quotes",
    "record = 1\nexpect.ok = true\nreplies = 1": "replies: not a table: use replies.NAME",
    "record = 1\nexpect.ok = true\nreplies.scor = {}": (
        "replies: unknown API 'scor': did you mean score?"
    ),
    "record = 1\nexpect.ok = true\nreplies.score = 200": "replies.score: invalid reply 200: use {",
    "record = 1\nexpect.ok = true\nreplies.score = [{}, { state = 1 }]": (
        "replies.score: reply 2: unknown key 'state': did you mean status?"
    ),
    "record = 1\nexpect.ok = true\nreplies.score.status = 99": (
        "replies.score.status: invalid status 99: use a number from 200 to 599"
    ),
    "record = 1\nexpect.ok = true\nreplies.score.status = '200'": (
        "replies.score.status: invalid status '200': use a number"
    ),
    "record = 1\nexpect.ok = true\nreplies.score.error = 'reset'": (
        "replies.score.error: invalid kind 'reset': use connect, tls, timeout or protocol"
    ),
    "record = 1\nexpect.ok = true\nreplies.score = { error = 'tls', status = 500 }": (
        "replies.score.error: an error has no response: leave status out"
    ),
    "record = 1\nexpect.ok = true\nreplies.score.delay = 'soon'": "replies.score.delay: invalid",
    "record = 1\nexpect.ok = true\nreplies.score.headers = 'X: 1'": (
        "replies.score.headers: not a table: use one such as { Retry-After"
    ),
    "record = 1\nexpect.ok = true\nreplies.score.headers.X = true": (
        "replies.score.headers.X: invalid value true: use text in quotes, or a number"
    ),
    'record = 1\nexpect.ok = true\nreplies.score.headers.X = "a\\nb"': (
        "replies.score.headers.X: invalid value"
    ),
    "record = 1\nexpect.ok = true\nreplies.score.body = [inf]": (
        "replies.score.body: not possible in JSON: it has no number inf"
    ),
    "record = 1\nexpect_request.score.json = 1": (
        "expect_request.score: unknown key 'json': use one of method, url, headers, body"
    ),
    "record = 1\nexpect_request.score = [{}, { url = 1 }]": (
        "expect_request.score: request 2: url: invalid url 1: use text in quotes"
    ),
    "record = 1\nexpect_request.score.headers = 'a'": "expect_request.score.headers: not a table",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_name_the_key(text: str) -> None:
    """A mistake names the test and the key, and says what to write instead."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"test 1: {MISTAKES[text]}")


def test_lines_of_tables_are_refused() -> None:
    """A row alone has no names for its fields."""
    with pytest.raises(ConfigError, match=r"line: a row has no names here: use record = "):
        parse("line = 'a,b'\nexpect.ok = true", "csv")


@pytest.mark.parametrize("written", [{}, 1, {"name": "a"}])
def test_single_brackets_are_a_mistake(written: Any) -> None:
    """`[test]` is no list of tests."""
    with pytest.raises(ConfigError, match=r"not a list: write \[\[test\]\], in double brackets"):
        parse_tests(written, ["score"], None)


def test_all_mistakes_are_found() -> None:
    """A test with a mistake hides none in another."""
    with pytest.raises(ConfigError) as caught:
        parse_tests([{"a": 1}, {"record": 1, "expect": {}}, 3], ["score"], None)
    first, third = map(str, caught.value.each())
    assert first.startswith("test 1: unknown key 'a'")
    assert third == "test 3: not a table: write [[test]], and its keys below"


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["1s", "timeout", "https://a.example/", "{}", '{"a": null}', "[1]"]),
)
_KEYS = st.sampled_from(
    ["score", "lookup", "status", "headers", "body", "delay", "error", "method", "url", "x"]
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_TESTS = st.dictionaries(
    st.sampled_from(
        ["name", "record", "records", "line", "replies", "tokens", "expect", "expect_request", "x"]
    ),
    _VALUES,
    max_size=6,
)


@given(_TESTS | _VALUES, st.sampled_from([None, "lines", "csv"]))
def test_any_value_is_understood_or_refused(written: Any, input_format: str | None) -> None:
    """Whatever a file has, it is a test, or a mistake with one line."""
    mistake = ""
    try:
        parse_tests([written], ["score", "lookup"], input_format)
    except ConfigError as exc:
        mistake = str(exc)
    assert not mistake or mistake.startswith("test 1: ")
    assert mistake.isprintable()

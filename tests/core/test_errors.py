"""Text in errors: short, on one line, harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.text import describe, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain text, ünïcode \U0001f600", "plain text, ünïcode \U0001f600"),
        ("a\nb\r\tc\0", "a\\x0ab\\x0d\\x09c\\x00"),
        ("\x1b[31m\x7f\x9b", "\\x1b[31m\\x7f\\x9b"),
        ("\u202eevil\u2066\u200f", "\\x202eevil\\x2066\\x200f"),
        ("\u2028\u2029\xa0\xad", "\\x2028\\x2029\\xa0\\xad"),
        ("\ud800\udcff", "\\xd800\\xdcff"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 300 + "…"),
        ("x" * 10**6, "x" * 300 + "…"),
        ("\0" * 75, "\\x00" * 75),
        ("\0" * 76, "\\x00" * 75 + "…"),
    ],
    ids=ascii,
)
def test_printable_escapes_and_cuts(text: str, shown: str) -> None:
    """Unprintable characters are escaped, and long text is cut, counting the escapes."""
    assert printable(text) == shown


@given(st.text(st.characters(), max_size=30), st.integers(0, 40))
def test_printable_is_one_short_encodable_line(text: str, limit: int) -> None:
    """Any text, surrogates included, is printable, within the limit, and can be written."""
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown.removesuffix("…")) <= limit
    shown.encode()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "'text'"),
        ("it's\n", '"it\'s\\n"'),
        (5, "5"),
        (True, "true"),
        (2.5, "2.5"),
        (False, "false"),
        (None, "null"),
        (b"s3cret", "a value of type bytes"),
        (["s3cret"], "a value of type list"),
        ({"Authorization": "s3cret"}, "a value of type dict"),
        ("x" * 200, "'" + "x" * 99 + "…"),
    ],
)
def test_describe_shows_texts_and_numbers_only(value: object, shown: str) -> None:
    """Strings and numbers are shown briefly; of all else, which may hold secrets, only the type."""
    assert describe(value) == shown


@pytest.mark.parametrize(
    ("toml", "python"),
    [
        (
            "use { bearer = ... }, { basic = [user, password] } or { oauth2 = { ... } }",
            'use {"bearer": ...}, {"basic": [user, password]} or {"oauth2": {...}}',
        ),
        (
            "write auth = { oauth2 = { params = { audience = ... } } }",
            'write auth = {"oauth2": {"params": {"audience": ...}}}',
        ),
        (
            'use a whole number of at least 1, "adaptive" or { min = 4, max = 256 }',
            'use a whole number of at least 1, "adaptive" or {"min": 4, "max": 256}',
        ),
        ("invalid value 1: use true or false", "invalid value 1: use True or False"),
        ("invalid API name true: use text", "invalid API name True: use text"),
        ("invalid value null: use text", "invalid value None: use text"),
        ("invalid value 'a true': use text", None),
        ("verify = false ignores ca: leave one", "verify=False ignores ca: leave one"),
        ("write {text: message}, true without backticks", None),
        ("it is incomplete; in a shell, put it in single quotes", "it is incomplete"),
    ],
)
def test_errors_of_programs_are_in_the_notation_of_python(toml: str, python: str | None) -> None:
    """What is said of a key in a file can be pasted there, and the same in a program."""
    error = ConfigError(toml, key="auth", api="a")
    assert str(error.in_python()) == f"API 'a': auth: {python or toml}"
    assert str(error.in_python().within("x", api="a")) == f"API 'a': x.auth: {toml}"


def test_transport_error_claims_nothing_by_default() -> None:
    """An error is neither transient nor stale unless a transport says so."""
    failure = TransportError("tls", "expired", sent=False)
    assert (failure.kind, failure.message, str(failure)) == ("tls", "expired", "expired")
    assert (failure.sent, failure.transient, failure.stale) == (False, False, False)

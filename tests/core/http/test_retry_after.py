"""Retry-After: all its forms, and all that servers send instead."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.rate_headers import parse_retry_after

NOW = 784_111_717.0  # one minute before RFC 9110's example date


@pytest.fixture(params=["UTC0", "EST5", "IST-5:30"])
def timezone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the process in some time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("timezone")
@pytest.mark.parametrize(
    "value",
    [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b" Sun, 06 Nov 1994 08:49:37 GMT\t",
        b"Sun, 06 Nov 1994 08:49:37 -0000",
        b"Sun, 06 Nov 1994 08:49:37",
        b"Sun, 06 Nov 1994 03:49:37 -0500",
    ],
    ids=["imf", "rfc850", "asctime", "padded", "unknown-zone", "no-zone", "offset"],
)
def test_parse_retry_after_reads_each_form_of_date_wherever_it_runs(value: bytes) -> None:
    """A date gives the seconds until then, whatever the local time zone."""
    assert parse_retry_after(value, NOW) == 60.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"5", 5.0),
        (b" 120 ", 120.0),
        (b"007", 7.0),
        (b"86400", 86_400.0),
        (b"1.5", 1.5),
        (b"0.25", 0.25),
        (b"2.0", 2.0),
        (b"9" * 12, 999_999_999_999.0),
        (b"9" * 5000, 999_999_999_999.0),
        (b"Sun, 06 Nov 1994 08:48:37 GMT", 0.0),
        (b"Sun, 06 Nov 1994 08:47:37 GMT", 0.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"Mon, 07 Nov 1994 08:48:37 GMT", 86_400.0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799 - NOW),
    ],
    ids=lambda value: repr(value)[:36],
)
def test_parse_retry_after_gives_seconds_from_now(value: bytes, seconds: float) -> None:
    """Seconds are returned unchanged, a past date is 0, and any length is a number."""
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"",
            b" ",
            b"-1",
            b"+5",
            b"1.",
            b".5",
            b"1.2.3",
            b"1,5",
            b"-0.5",
            b"1e3",
            b"0x10",
            b"5s",
            b"5 s",
            b"1_000",
            b"\xb2",
        ),
        *(b"120, 60", b"5, 5", b"soon", b"null", b'"5"', b"NaN", b"inf", b"\0", b"\xff" * 50),
        *(b"\xd9\xa1", b"Sun, 06 Nov", b"Sun, 32 Nov 1994 08:49:37 GMT", b"GMT", b"Nov 6 1994"),
        *(b"Sun, 06 Nov 1994 25:61:61 GMT", b"Sun, 06 Nov 99999999999999 08:49:37 GMT"),
        *(b"Sun, 06 Nov 1994 08:49:37 +99999999999", b"1994-11-06T08:49:37Z", b"(" * 5000),
    ],
    ids=lambda value: repr(value)[:36],
)
def test_parse_retry_after_ignores_what_is_neither(value: bytes) -> None:
    """Negative numbers, lists, junk and impossible dates count as no header."""
    assert parse_retry_after(value, NOW) is None


PARTS = ["Sun,", "Sunday,", "06", "6", "Nov", "1994", "94", "08:49:37", "08:49", ":", "::", "GMT"]
PARTS += [
    "06-Nov-94",
    "-0000",
    "+9999",
    "-99999999999",
    "EST",
    "PM",
    "24:60:61",
    ",",
    "-",
    "(",
    '"',
]
PARTS += ["9" * 30, "0", "-1", "\0", "\xe9", "."]


@given(
    st.binary(max_size=40)
    | st.lists(st.sampled_from(PARTS), max_size=9).map(lambda p: " ".join(p).encode("latin-1"))
    | st.lists(st.sampled_from(PARTS), max_size=6).map(lambda p: "".join(p).encode("latin-1")),
    st.sampled_from([0.0, NOW, 4e9]),
)
def test_parse_retry_after_never_raises(value: bytes, now: float) -> None:
    """Any bytes give seconds from 0 up, or None."""
    seconds = parse_retry_after(value, now)
    assert seconds is None or 0 <= seconds < 1e12

"""Headers that tell when the next request should be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import parse_rate_limit, pause_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b'"default";r=0;t=30', 30.0),
        (b'"default";r=50;t=30', None),
        (b'"burst";r=0;t=5, "daily";r=0;t=3600', 3600.0),
        (b'"burst";r=9;t=5,"daily";r=0;t=7', 7.0),
        (b'"a";t=5;r=0', 5.0),
        (b'"a";r=0;t=5;pk=:c2Vj:', 5.0),
        (b'"a";r=0;pk="x;t=9";t=5', 5.0),
        (b'"a";r=0', None),
        (b'"a";t=5', None),
        (b'"a";r=-1;t=5', None),
        (b'"a";r=0;t=soon', None),
        (b"limit=10, remaining=0, reset=5", None),
        (b"a;r=0;t=5", None),
        (b'"a;r=0;t=5', None),
        (b'"a";r=0;t=5;;', None),
        (b"", None),
        (b"0", None),
    ],
)
def test_parse_rate_limit(value: bytes, seconds: float | None) -> None:
    """Only an exhausted quota asks for a wait; malformed values are ignored."""
    assert parse_rate_limit(value) == seconds


@given(st.binary(max_size=60))
def test_parse_rate_limit_never_crashes(value: bytes) -> None:
    """Any bytes give seconds or None."""
    parse_rate_limit(value)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {b"retry-after": b"7"}, 7.0),
        (429, {b"retry-after": b"7", b"ratelimit": b'"a";r=0;t=99'}, 7.0),
        (429, {b"retry-after": b"soon", b"ratelimit": b'"a";r=0;t=99'}, 99.0),
        (200, {b"retry-after": b"7"}, None),
        (200, {b"ratelimit": b'"a";r=0;t=2'}, 2.0),
        (500, {b"retry-after": b"7"}, None),
        (200, {}, None),
    ],
)
def test_pause_of(status: int, headers: dict[bytes, bytes], seconds: float | None) -> None:
    """Retry-After counts if the server is busy, and takes precedence over RateLimit."""
    assert pause_of(Response(status, tuple(headers.items()), b"", 0), 0.0) == seconds


def test_parse_rate_limit_of_a_hostile_header_comes_to_an_end() -> None:
    """Backtracking would triple the time for each parameter."""
    assert parse_rate_limit(b'"d"' + b";a=b  " * 200 + b'"') is None
    assert parse_rate_limit(b'"d"' + b";a=b  " * 200 + b";r=0;t=7 ") == 7.0

"""Headers that tell when the next request should be sent."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import (
    WELL_KNOWN,
    RateHeaders,
    may_pause,
    parse_rate_limit,
    parse_reset,
    pause_of,
    refuses,
    retry_after,
)

NOW = 1_793_527_200.0  # 2026-11-01T10:00:00Z

OWN = RateHeaders(b"x-quota-left", b"x-quota-reset")
OWN_RESET = RateHeaders(reset=b"x-refill-in")
OWN_REMAINING = RateHeaders(remaining=b"x-quota-left")


def response(status: int, text: str) -> Response:
    """Return a response with the headers in a text, one a line."""
    pairs = (line.strip().partition(": ") for line in text.strip().splitlines())
    headers = tuple((name.lower().encode(), value.encode()) for name, _, value in pairs)
    return Response(status, headers, b"", 0)


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
        (b"limit=10, remaining=0, reset=5", 5.0),
        (b" reset=5,remaining=0", 5.0),
        (b"limit=10, remaining=1, reset=5", None),
        (b"limit=10, remaining=0", None),
        (b"limit=10, remaining=0, reset=-5", None),
        (b"limit=10, remaining=0, reset=", None),
        (b"limit=10;remaining=0;reset=5", None),
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


def test_parse_rate_limit_of_a_hostile_header_comes_to_an_end() -> None:
    """Backtracking would triple the time for each parameter."""
    assert parse_rate_limit(b'"d"' + b";a=b  " * 200 + b'"') is None
    assert parse_rate_limit(b'"d"' + b";a=b  " * 200 + b";r=0;t=7 ") == 7.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"30", 30.0),
        (b" 30 ", 30.0),
        (b"0.25", 0.25),
        (b"86400", 86_400.0),
        (b"1793527260", 60.0),
        (b"1793527260.5", 60.5),
        (b"1793527260123", 60.123),
        (b"1793527100", 0.0),
        (b"6m0s", 360.0),
        (b"1h2m3.5s", 3723.5),
        (b"120ms", 0.12),
        (b"8.64s", 8.64),
        (b"2d", 172_800.0),
        (b"0s", 0.0),
        (b"2026-11-01T10:01:00Z", 60.0),
        (b"2026-11-01T10:01Z", 60.0),
        (b"2026-11-01T10:01:00.123456789Z", 60.123456),
        (b"2026-11-01T11:01:00+01:00", 60.0),
        (b"2026-11-01 10:01:00", 60.0),
        (b"2026-11-01T09:00:00Z", 0.0),
        (b"Sun, 01 Nov 2026 10:01:00 GMT", 60.0),
        *[
            (value, None)
            for value in (
                *(b"", b" ", b"-1", b"+5", b"1e3", b"NaN", b"inf", b"0x10", b"1_000", b"soon"),
                *(b"5, 5", b"30;w=60", b'"30"', b"null", b"[5]", b"1.", b".5", b"1.2.3", b"\xb2"),
                *(b"s", b"ms", b"5x", b"5s5", b"1.2.3s", b"-5s", b"5 s", b"5S", b"\xd9\xa1s"),
                *(b"2026-13-01T00:00:00Z", b"0000-00-00T00:00:00Z", b"2026-11-01T10:01:00ZZ"),
                *(b"9" * 15, b"9" * 30, b"1" + b"0" * 30, b"9" * 60, b"9" * 1_000_000),
            )
        ],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_parse_reset_tells_the_forms_apart(value: bytes, seconds: float | None) -> None:
    """Spans, dates since the epoch, durations and written dates give seconds; others nothing."""
    assert parse_reset(value, NOW) == pytest.approx(seconds, abs=1e-5)


# What providers document, or send: status, headers, whether it is a refusal, and the pause.
DIALECTS = {
    "openai-requests": (
        429,
        """x-ratelimit-limit-requests: 60
           x-ratelimit-limit-tokens: 150000
           x-ratelimit-remaining-requests: 0
           x-ratelimit-remaining-tokens: 149984
           x-ratelimit-reset-requests: 1s
           x-ratelimit-reset-tokens: 6m0s""",
        (True, 1.0),
    ),
    "openai-tokens": (
        429,
        """x-ratelimit-remaining-requests: 59
           x-ratelimit-remaining-tokens: 0
           x-ratelimit-reset-requests: 120ms
           x-ratelimit-reset-tokens: 6m0s""",
        (True, 360.0),
    ),
    "openai-both-used-up": (
        429,
        """x-ratelimit-remaining-requests: 0
           x-ratelimit-remaining-tokens: 0
           x-ratelimit-reset-requests: 120ms
           x-ratelimit-reset-tokens: 1m30.5s""",
        (True, 90.5),
    ),
    "openai-too-large-for-what-remains": (
        429,
        """x-ratelimit-remaining-requests: 59
           x-ratelimit-remaining-tokens: 300
           x-ratelimit-reset-requests: 1s
           x-ratelimit-reset-tokens: 59s""",
        (True, None),
    ),
    "openai-ok": (
        200,
        """x-ratelimit-remaining-requests: 59
           x-ratelimit-remaining-tokens: 149984
           x-ratelimit-reset-requests: 1s
           x-ratelimit-reset-tokens: 6ms""",
        (False, None),
    ),
    "openai-last-one-ok": (
        200,
        """x-ratelimit-remaining-requests: 0
           x-ratelimit-remaining-tokens: 149984
           x-ratelimit-reset-requests: 8.64s
           x-ratelimit-reset-tokens: 6ms""",
        (False, 8.64),
    ),
    "azure-openai": (
        429,
        """retry-after: 7
           retry-after-ms: 6250
           x-ratelimit-remaining-requests: 0
           x-ratelimit-reset-requests: 60""",
        (True, 6.25),
    ),
    "azure-cosmos-db": (429, "x-ms-retry-after-ms: 12", (True, 0.012)),
    "azure-devops-delays": (200, "retry-after: 5\nx-ratelimit-remaining: 12", (False, None)),
    "anthropic": (
        429,
        """anthropic-ratelimit-requests-limit: 50
           anthropic-ratelimit-requests-remaining: 49
           anthropic-ratelimit-requests-reset: 2026-11-01T10:00:01Z
           anthropic-ratelimit-input-tokens-remaining: 0
           anthropic-ratelimit-input-tokens-reset: 2026-11-01T10:00:42Z
           anthropic-ratelimit-output-tokens-remaining: 8000
           anthropic-ratelimit-output-tokens-reset: 2026-11-01T10:00:00Z""",
        (True, 42.0),
    ),
    "anthropic-retry-after": (
        429,
        """retry-after: 9
           anthropic-ratelimit-tokens-remaining: 0
           anthropic-ratelimit-tokens-reset: 2026-11-01T10:00:42Z""",
        (True, 9.0),
    ),
    "anthropic-overloaded": (529, "request-id: req_1\nx-should-retry: true", (True, None)),
    "github-primary": (
        403,
        """x-ratelimit-limit: 60
           x-ratelimit-remaining: 0
           x-ratelimit-reset: 1793528100
           x-ratelimit-used: 60
           x-ratelimit-resource: core""",
        (True, 900.0),
    ),
    "github-secondary": (
        403,
        "retry-after: 60\nx-ratelimit-remaining: 4210\nx-ratelimit-reset: 1793528100",
        (True, 60.0),
    ),
    "github-not-allowed": (
        403,
        "x-ratelimit-remaining: 4210\nx-ratelimit-reset: 1793528100",
        (False, None),
    ),
    "github-last-one-ok": (
        200,
        "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1793528100",
        (False, 900.0),
    ),
    "gitlab": (
        429,
        """RateLimit-Limit: 600
           RateLimit-Name: throttle_authenticated_api
           RateLimit-Observed: 601
           RateLimit-Remaining: 0
           RateLimit-Reset: 1793527230
           RateLimit-ResetTime: Sun, 01 Nov 2026 10:00:30 GMT""",
        (True, 30.0),
    ),
    "kong": (
        429,
        """X-RateLimit-Limit-Minute: 5
           X-RateLimit-Remaining-Minute: 0
           RateLimit-Limit: 5
           RateLimit-Remaining: 0
           RateLimit-Reset: 35
           Retry-After: 34""",
        (True, 34.0),
    ),
    "stripe": (429, "Stripe-Rate-Limited-Reason: global-rate", (True, None)),
    "slack": (429, "Retry-After: 30", (True, 30.0)),
    "shopify": (
        429,
        "Retry-After: 2.0\nX-Shopify-Shop-Api-Call-Limit: 40/40",
        (True, 2.0),
    ),
    "discord": (
        429,
        """X-RateLimit-Limit: 5
           X-RateLimit-Remaining: 0
           X-RateLimit-Reset: 1793527264.57
           X-RateLimit-Reset-After: 64.57
           X-RateLimit-Bucket: abcd1234""",
        (True, 64.57),
    ),
    "discord-whose-clock-differs": (
        200,
        """X-RateLimit-Remaining: 0
           X-RateLimit-Reset: 1793530864.57
           X-RateLimit-Reset-After: 1.57""",
        (False, 1.57),
    ),
    "reddit": (
        200,
        "x-ratelimit-remaining: 0.0\nx-ratelimit-used: 100\nx-ratelimit-reset: 234",
        (False, 234.0),
    ),
    "reddit-ok": (
        200,
        "x-ratelimit-remaining: 99.0\nx-ratelimit-used: 1\nx-ratelimit-reset: 234",
        (False, None),
    ),
    "x": (
        429,
        "x-rate-limit-limit: 900\nx-rate-limit-remaining: 0\nx-rate-limit-reset: 1793527210",
        (True, 10.0),
    ),
    "atlassian": (
        429,
        "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 2026-11-01T10:01Z",
        (True, 60.0),
    ),
    "hubspot": (
        429,
        """X-HubSpot-RateLimit-Remaining: 0
           X-HubSpot-RateLimit-Interval-Milliseconds: 10000
           X-HubSpot-RateLimit-Max: 100""",
        (True, None),
    ),
    "ietf-draft-02": (429, "RateLimit-Remaining: 0\nRateLimit-Reset: 50", (True, 50.0)),
    "ietf-draft-07": (200, "RateLimit: limit=100, remaining=0, reset=5", (False, 5.0)),
    "ietf-draft-11": (200, 'RateLimit: "default";r=0;t=2', (False, 2.0)),
    "ietf-draft-11-in-two-lines": (
        200,
        'RateLimit: "burst";r=0;t=2\nRateLimit: "day";r=0;t=9',
        (False, 9.0),
    ),
    "ietf-forbidden": (403, 'RateLimit: "default";r=0;t=2', (True, 2.0)),
    "reset-only": (429, "x-ratelimit-reset: 17", (True, 17.0)),
    "resets-only": (429, "x-ratelimit-reset-day: 3600\nx-ratelimit-reset-second: 1", (True, 1.0)),
    "reset-only-while-down": (503, "x-ratelimit-reset: 17", (True, None)),
    "reset-only-ok": (200, "x-ratelimit-reset: 17", (False, None)),
    "remaining-only": (429, "x-ratelimit-remaining: 0", (True, None)),
    "remaining-only-forbidden": (403, "x-ratelimit-remaining: 0", (True, None)),
    "another-quota's-reset": (
        429,
        "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-requests: 17",
        (True, None),
    ),
    "unlimited": (200, "x-ratelimit-remaining: -1\nx-ratelimit-reset: 99", (False, None)),
    "junk": (429, "x-ratelimit-remaining: 0\nx-ratelimit-reset: soon", (True, None)),
    "junk-and-another": (
        429,
        "retry-after: soon\nretry-after-ms: -4\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 8",
        (True, 8.0),
    ),
    "junk-reset-after": (
        429,
        "x-ratelimit-remaining: 0\nx-ratelimit-reset-after: ?\nx-ratelimit-reset: 8",
        (True, 8.0),
    ),
    "not-of-a-rate": (200, "x-items-remaining: 0\nx-items-reset: 60", (False, None)),
    "busy": (503, "retry-after: 7", (True, 7.0)),
    "ok-with-retry-after": (200, "retry-after: 7", (False, None)),
    "failed-with-retry-after": (500, "retry-after: 7", (False, None)),
    "retry-after-first": (
        429,
        'retry-after: 7\nratelimit: "a";r=0;t=99',
        (True, 7.0),
    ),
    "at-once": (429, "retry-after: 0\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 9", (True, 0.0)),
    "nothing": (200, "content-type: text/plain", (False, None)),
}


@pytest.mark.parametrize(("status", "headers", "expected"), DIALECTS.values(), ids=DIALECTS)
def test_dialects(status: int, headers: str, expected: tuple[bool, float | None]) -> None:
    """Each provider's headers give the pause that they mean."""
    answer = response(status, headers)
    assert refuses(answer) == expected[0]
    assert pause_of(answer, NOW) == pytest.approx(expected[1], abs=1e-5)
    if expected[1] is not None and status == 200:
        assert may_pause(answer.headers)


@pytest.mark.parametrize(
    ("known", "status", "headers", "expected"),
    [
        (OWN, 200, "x-quota-left: 0\nx-quota-reset: 5", (False, 5.0)),
        (OWN, 200, "x-quota-left: 7\nx-quota-reset: 5", (False, None)),
        (OWN, 429, "x-quota-left: 7\nx-quota-reset: 5", (True, None)),
        (OWN, 429, "x-quota-reset: 5", (True, 5.0)),
        (OWN, 200, "x-quota-reset: 5", (False, None)),
        (OWN, 403, "x-quota-left: 0\nx-quota-reset: 5s", (True, 5.0)),
        (OWN, 403, "x-quota-left: 1\nx-quota-reset: 5s", (False, None)),
        (OWN, 200, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 6", (False, 6.0)),
        (OWN, 429, "x-quota-left: 0\nx-quota-reset: 5\nretry-after: 1", (True, 1.0)),
        (OWN_RESET, 429, "x-refill-in: 5", (True, 5.0)),
        (OWN_RESET, 503, "x-refill-in: 5", (True, 5.0)),
        (OWN_RESET, 429, "x-refill-in: 5\nx-ratelimit-remaining: 9", (True, 5.0)),
        (OWN_RESET, 200, "x-refill-in: 5", (False, None)),
        (OWN_RESET, 403, "x-refill-in: 5", (False, None)),
        (OWN_REMAINING, 403, "x-quota-left: 0", (True, None)),
        (OWN_REMAINING, 200, "x-quota-left: 0", (False, None)),
        (WELL_KNOWN, 403, "x-quota-left: 0\nx-quota-reset: 5", (False, None)),
        (None, 200, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 6", (False, None)),
        (None, 429, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 6", (True, None)),
        (None, 403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 6", (False, None)),
        (None, 429, "x-ratelimit-remaining: 0\nretry-after: 6", (True, 6.0)),
        (None, 200, 'ratelimit: "a";r=0;t=6', (False, None)),
        (
            RateHeaders(b"x-ratelimit-remaining", b"x-refill-in"),
            200,
            "x-ratelimit-remaining: 0\nx-ratelimit-reset: 99\nx-refill-in: 4",
            (False, 4.0),
        ),
    ],
)
def test_dialects_of_ones_own(
    known: RateHeaders | None, status: int, headers: str, expected: tuple[bool, float | None]
) -> None:
    """Named headers count beside the well-known ones, and none but Retry-After if so configured."""
    answer = response(status, headers)
    assert (refuses(answer, known), pause_of(answer, NOW, known)) == expected
    if expected[1] is not None and status == 200:
        assert may_pause(answer.headers, known)


NAMES = [
    *(b"retry-after", b"retry-after-ms", b"ratelimit", b"ratelimit-remaining", b"ratelimit-reset"),
    *(b"x-ratelimit-remaining", b"x-ratelimit-reset", b"x-ratelimit-reset-after"),
    *(b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens", b"x-rate-limit-reset"),
    *(b"anthropic-ratelimit-tokens-remaining", b"anthropic-ratelimit-tokens-reset"),
    *(b"x-quota-left", b"x-quota-reset", b"remaining", b"reset", b"", b"\xff"),
]
VALUES = [
    *(b"0", b"0.0", b"1", b"5", b"-1", b"9" * 13, b"1" + b"0" * 30, b"6m0s", b"1.5", b"1..5s"),
    *(b"2026-11-01T10:01:00Z", b"9999-12-31T23:59:59-23:59", b"0001-01-01T00:00:00+23:59"),
    *(b'"a";r=0;t=5', b"limit=1, remaining=0, reset=5", b"\xc2\xb5s", b"5, 5", b"", b"\0"),
]


@given(
    st.sampled_from([200, 302, 403, 429, 500, 503, 529]),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.binary(max_size=40)),
        max_size=8,
    ),
    st.sampled_from([None, WELL_KNOWN, OWN, OWN_RESET, OWN_REMAINING]),
    st.sampled_from([0.0, NOW, 4e9]),
)
def test_pause_of_never_raises(
    status: int, headers: list[tuple[bytes, bytes]], known: RateHeaders | None, now: float
) -> None:
    """Any headers give seconds from 0 up, or None, and `may_pause` misses no pause."""
    answer = Response(status, headers, b"", 0)
    pause = pause_of(answer, now, known)
    assert pause is None or 0 <= pause < 1e16
    if pause is not None and not refuses(answer, known):
        assert may_pause(headers, known)
    if status == 200 and not may_pause(headers, known):
        assert pause is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "pattern",
    [b"9", b"1.", b"9m", b"1ms", b" ", b"(", b'"', b'"a";r=0;t=5,', b";a=b  ", b"reset=1,", b"-"],
)
def test_pause_of_is_quick_whatever_is_sent(name: bytes, pattern: bytes) -> None:
    """A header of a megabyte takes less than a second of CPU, where backtracking takes hours."""
    value = pattern * (1_000_000 // len(pattern))
    headers = ((b"x-ratelimit-remaining", b"0"), (b"x-quota-left", b"0"), (name, value))
    began = time.process_time()
    pause_of(Response(429, headers, b"", 0), NOW, OWN)
    pause_of(Response(429, ((name, b"remaining=0, " + value),), b"", 0), NOW, OWN_RESET)
    assert time.process_time() - began < 1.0


def test_retry_after_prefers_milliseconds() -> None:
    """They are what the server meant before it rounded; values that are none do not count."""
    assert retry_after(response(503, "retry-after: 2\nretry-after-ms: 1250.5"), NOW) == 1.2505
    assert retry_after(response(503, "retry-after: 2\nretry-after-ms: x"), NOW) == 2.0
    assert retry_after(response(503, "retry-after-ms: " + "9" * 5000), NOW) == 999_999_999_999.0
    assert retry_after(response(503, "date: now"), NOW) is None


def test_may_pause_reads_on_only_where_a_remainder_is_zero() -> None:
    """Zeros elsewhere, and quotas of which something remains, are nothing to look into."""
    headers = "age: 0\ncontent-length: 0\nx-ratelimit-remaining: 4999\nx-ratelimit-reset: 0"
    assert not may_pause(response(200, headers).headers)
    assert may_pause(response(200, f"{headers}\nx-ratelimit-remaining-day: 0").headers)

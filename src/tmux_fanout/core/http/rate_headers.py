"""Headers that tell when the next request should be sent.

A refusal says so in Retry-After (RFC 9110, section 10.2.3), or in milliseconds in `retry-after-ms`
(Azure, OpenAI).  Any answer may say that a quota is used up, and when it is renewed:

    dialect                                     what remains                     when it is renewed
    -----------------------------------------   ------------------------------   ------------------
    GitHub, OpenAI, Azure, Discord, Reddit, X   x-ratelimit-remaining[-QUOTA]    ...-reset[-QUOTA]
    GitLab, Kong; the IETF draft up to 02       ratelimit-remaining              ratelimit-reset
    Anthropic                                   anthropic-ratelimit-Q-remaining  ...-Q-reset
    the IETF draft, 03 to 07                    RateLimit: remaining=0, ...      reset=5
    draft-ietf-httpapi-ratelimit-headers-11     RateLimit: "QUOTA";r=0           t=5

The first three follow one rule: names contain `ratelimit` or `rate-limit`, and the name of a reset
has `reset` or `reset-after` where that of its remainder has `remaining`.  Providers disagree on
what the value of a reset is; `parse_reset` tells the forms apart.

Retry-After takes precedence (section 4 of the draft).  Malformed values are ignored, as the draft
requires.  No value can make parsing slow: patterns are possessive, and long values are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from tmux_fanout.core.http.messages import Response

REFUSALS = frozenset({429, 503, 529})
"""Statuses of servers that did not process a request, and would now refuse another one as well.

529 is not registered; Anthropic, Shopify and others send it when they are overloaded.
"""

_FORBIDDEN = 403
_TOO_MANY_REQUESTS = 429
_NOTHING = (b"0", b"0.0", b"0.00")  # Reddit counts in floats
_MILLISECONDS = (b"retry-after-ms", b"x-ms-retry-after-ms")

_MAX_LENGTH = 64  # bytes of a value that has a meaning
_MAX_SECONDS = 999_999_999_999.0
_NUMBER = re.compile(r"(\d{1,20}+)\d*+(\.\d{1,9}+)?+\d*+", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,9}+(?:\.\d{1,9}+)?+(?:ms|[dhms]))++", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]++)(ms|[dhms])", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

# A number from here on is not a span of time: it is a date, in seconds or in milliseconds.
_EPOCH = 1e8
_EPOCH_MS = 1e11
_NO_EPOCH = 1e14

_ITEM = re.compile(
    r'\s*+"[^"]*+"((?:\s*+;\s*+[a-z*][a-z0-9_.*-]*+=(?:"[^"]*+"|[^;,"\s]++))*+)\s*+(?:,|$)'
)
_PARAMETER = re.compile(r";\s*+([rt])=(\d{1,15}+)\s*+(?=;|$)")
_OLD_ITEM = re.compile(r"\s*+(limit|remaining|reset)=(\d{1,15}+)\s*+", re.ASCII)

Headers = Sequence[tuple[bytes, bytes]]


class RateHeaders(msgspec.Struct, frozen=True):
    """The headers that count at one API: the well-known ones, and those of its own dialect.

    Attributes:
        remaining: name of the header that has what remains of a quota, in lower case, or b"".
        reset: name of the header that tells when the quota is renewed, or b"".
    """

    remaining: bytes = b""
    reset: bytes = b""


WELL_KNOWN = RateHeaders()


def refuses(response: Response, known: RateHeaders | None = WELL_KNOWN) -> bool:
    """Return whether a server refused a request for now, without processing it.

    A 403 is one if it says when to come back, or that a quota is used up, as GitHub's do.

    Args:
        response: of the server.
        known: the headers that count beside Retry-After; None: no others.
    """
    if response.status in REFUSALS:
        return True
    if response.status != _FORBIDDEN:
        return False
    names = {name for name, _ in response.headers}
    if b"retry-after" in names or not names.isdisjoint(_MILLISECONDS):
        return True
    return known is not None and _is_used_up(response.headers, known)


def may_pause(headers: Headers, known: RateHeaders | None = WELL_KNOWN) -> bool:
    """Return whether `pause_of` has to look at the headers of an answer that is no refusal.

    This is for each of them, so it is cheap: 0.8 us for 16 headers.  Few values are 0, and only
    they are worth a look at their names.

    Args:
        headers: of the answer.
        known: the headers that count beside Retry-After; None: no others.
    """
    if known is None:
        return False
    for name, value in headers:
        if value in _NOTHING and (b"remaining" in name or name == known.remaining):
            return True
        if name == b"ratelimit":
            return True
    return False


def pause_of(
    response: Response, now: float, known: RateHeaders | None = WELL_KNOWN
) -> float | None:
    """Return the seconds for which an endpoint asks not to be called, or None.

    There is no upper bound: the caller has to set one.

    Args:
        response: of the endpoint.
        now: seconds since the epoch.
        known: the headers that count beside Retry-After; None: no others.
    """
    is_refusal = refuses(response, known)
    if is_refusal and (seconds := retry_after(response, now)) is not None:
        return seconds
    if known is None:
        return None
    values = dict(reversed(response.headers))  # the first of a name counts
    waits = [*_waits(values, now, known), *_field_waits(response.headers)]
    if waits:
        return max(waits)
    if not is_refusal or known.remaining in values:
        return None
    if known.reset in values:
        return parse_reset(values[known.reset], now)
    return _lone_reset(values, now) if response.status == _TOO_MANY_REQUESTS else None


def asked_by(response: Response) -> str:
    """Return which header a response asks with not to be called for a while, for messages."""
    names = {name for name, _ in response.headers}
    if b"retry-after" in names or not names.isdisjoint(_MILLISECONDS):
        return "Retry-After"
    return "its rate limit headers"


def retry_after(response: Response, now: float) -> float | None:
    """Return the seconds after which a response invites another request, or None.

    Args:
        response: whose status is such that Retry-After makes sense.
        now: seconds since the epoch.
    """
    for name in _MILLISECONDS:
        milliseconds = _number(response.header(name) or b"")
        if milliseconds is not None:
            return min(milliseconds / 1000, _MAX_SECONDS)
    value = response.header(b"retry-after")
    return None if value is None else parse_retry_after(value, now)


def _is_remaining(name: bytes, known: RateHeaders) -> bool:
    """Return whether a header has what remains of a quota."""
    return (b"remaining" in name and _is_of_rate(name)) or (name == known.remaining)


def _is_of_rate(name: bytes) -> bool:
    return b"ratelimit" in name or b"rate-limit" in name


def _is_used_up(headers: Headers, known: RateHeaders) -> bool:
    """Return whether nothing remains of some quota."""
    is_zero = any(value in _NOTHING and _is_remaining(name, known) for name, value in headers)
    return is_zero or any(True for _ in _field_waits(headers))


def _waits(values: Mapping[bytes, bytes], now: float, known: RateHeaders) -> Iterator[float]:
    """Yield the seconds until each used-up quota is renewed, where a header tells."""
    for name, value in values.items():
        if value not in _NOTHING or not _is_remaining(name, known):
            continue
        own = known.reset if name == known.remaining else b""
        stem, found, suffix = name.partition(b"remaining")
        names = (stem + reset + suffix for reset in (b"reset-after", b"reset") if found)
        resets = (parse_reset(values[each], now) for each in (own, *names) if each in values)
        wait = next((seconds for seconds in resets if seconds is not None), None)
        if wait is not None:
            yield wait


def _field_waits(headers: Headers) -> Iterator[float]:
    """Yield the seconds that each line of a RateLimit field asks for."""
    for name, value in headers:
        if name == b"ratelimit" and (seconds := parse_rate_limit(value)) is not None:
            yield seconds


def _lone_reset(values: Mapping[bytes, bytes], now: float) -> float | None:
    """Return the seconds until the first quota is renewed, if no header has what remains of one.

    Any of the quotas may be the one that is used up, so the server can be asked again then.
    """
    names = [name for name in values if _is_of_rate(name)]
    if any(b"remaining" in name for name in names):
        return None
    waits = [parse_reset(values[name], now) for name in names if b"reset" in name]
    return min((wait for wait in waits if wait is not None), default=None)


def parse_rate_limit(value: bytes) -> float | None:
    """Return the seconds until all exhausted quotas are renewed; None if none is exhausted."""
    text = value.decode("latin-1")
    if text.lstrip().startswith(("limit=", "remaining=", "reset=")):
        return _parse_old_rate_limit(text)
    waits = []
    index = 0
    while index < len(text):
        item = _ITEM.match(text, index)
        if item is None:
            return None
        parameters = dict(_PARAMETER.findall(item[1]))
        if parameters.get("r") == "0" and "t" in parameters:
            waits.append(float(parameters["t"]))
        index = item.end()
    return max(waits, default=None)


def _parse_old_rate_limit(text: str) -> float | None:
    """Return what `parse_rate_limit` does of `limit=100, remaining=0, reset=5` (draft 03 to 07)."""
    matches = [_OLD_ITEM.fullmatch(item) for item in text.split(",")]
    values = {match[1]: match[2] for match in matches if match}
    if values.get("remaining") != "0" or "reset" not in values:
        return None
    return float(values["reset"])


def parse_retry_after(value: bytes, now: float) -> float | None:
    """Return the seconds to wait according to a Retry-After header: a number or a date.

    Fractions are not in the RFC; Shopify and others send them.

    Args:
        value: as received.
        now: seconds since the epoch.

    Returns:
        0 or more; None if the value is neither, and is to be ignored.
    """
    seconds = _number(value)
    return _until_http_date(value, now) if seconds is None else min(seconds, _MAX_SECONDS)


def parse_reset(value: bytes, now: float) -> float | None:
    """Return the seconds until a quota is renewed, in any of the forms that providers use.

    Args:
        value: as received: seconds from now (`30`, `0.5`), seconds or milliseconds since the epoch,
            a duration as Go prints it (`6m0s`, `120ms`), or a date of RFC 3339 or RFC 9110.
        now: seconds since the epoch.

    Returns:
        0 or more; None if the value is none of these, and is to be ignored.
    """
    if len(value) > _MAX_LENGTH:
        return None
    number = _number(value)
    if number is not None:
        return _until_number(number, now)
    text = value.decode("latin-1").strip()
    if _DURATION.fullmatch(text):
        try:
            return sum(float(n) * _UNITS[unit] for n, unit in _DURATION_PART.findall(text))
        except ValueError:
            return None
    try:
        return _until(datetime.fromisoformat(text), now)
    except (ValueError, OverflowError):
        return _until_http_date(value, now)


def _number(value: bytes) -> float | None:
    """Return a number without sign or exponent, or None.  Of its digits the first 20 count."""
    match = _NUMBER.fullmatch(value.decode("latin-1").strip())
    return None if match is None else float(match[1] + (match[2] or ""))


def _until_number(number: float, now: float) -> float | None:
    if number < _EPOCH:
        return number
    if number >= _NO_EPOCH:
        return None
    return max(0.0, (number if number < _EPOCH_MS else number / 1000) - now)


def _until_http_date(value: bytes, now: float) -> float | None:
    if len(value) > _MAX_LENGTH:
        return None
    try:
        return _until(parsedate_to_datetime(value.decode("latin-1").strip()), now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _until(date: datetime, now: float) -> float:
    if date.tzinfo is None:  # the asctime form names no zone and means UTC (RFC 9110, 5.6.7)
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)

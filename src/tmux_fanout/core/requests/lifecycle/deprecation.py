"""Deprecation and Sunset headers: an API says that it should not be used any more, and its end.

Deprecation: @1688169599                  a date (RFC 9745); drafts had `true` or an HTTP date
Sunset: Sat, 31 Dec 2026 23:59:59 GMT     it will probably not answer from then on (RFC 8594)
Link: <https://...>; rel="deprecation"    where to read about it; `sunset` as well
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.redaction import redact_url
from tmux_fanout.core.requests.series.links import MalformedLink, targets
from tmux_fanout.core.text import joined, printable

Headers = Sequence[tuple[bytes, bytes]]

_NAMES = frozenset({b"deprecation", b"sunset"})
_DATE = re.compile(r"@(-?\d{1,15})(?:;.*)?")  # RFC 9651, section 3.3.7
_NOT = frozenset({"", "?0", "false", "0", "no"})
_MAX_LENGTH = 100  # bytes of a date
_MAX_URL = 300  # characters
_MAX_LINKS = 3


class Deprecation(msgspec.Struct, frozen=True):
    """What an API says of its end.

    Attributes:
        deprecated: whether it says that it is deprecated, or is to be.
        since: from when on, in seconds since 1970; None: it does not say.
        sunset: when it ends, in seconds since 1970; None: it does not say.
        links: URLs of texts about that.
    """

    deprecated: bool
    since: float | None = None
    sunset: float | None = None
    links: tuple[str, ...] = ()

    def sentence(self, api: str, now: float) -> str:
        """Return it in a sentence.

        Args:
            api: name of the API.
            now: seconds since 1970.
        """
        parts = [self._deprecated(now)] if self.deprecated else []
        if self.sunset is not None:
            verb = "will" if self.sunset > now else "was due to"
            parts.append(f"{verb} be switched off on {day(self.sunset)}")
        see = f"; see {joined(self.links)}" if self.links else ""
        return f"{api} {joined(parts)}{see}"

    def _deprecated(self, now: float) -> str:
        if self.since is None:
            return "is deprecated"
        if self.since > now:
            return f"will be deprecated on {day(self.since)}"
        return f"has been deprecated since {day(self.since)}"


def announces(headers: Headers) -> bool:
    """Return whether a response has one of these headers; its names are in lower case."""
    return any(name in _NAMES for name, _ in headers)


def deprecation_of(headers: Headers, origin: Origin) -> Deprecation | None:
    """Return what a response says of the end of its API; None if it says nothing.

    Args:
        headers: of the response, names in lower case.
        origin: that it is from.
    """
    found = {name: value.decode("latin-1").strip() for name, value in reversed(headers)}
    value = found.get(b"deprecation", "")
    is_deprecated = value.lower() not in _NOT
    sunset = _http_date(found.get(b"sunset", ""))
    if not is_deprecated and sunset is None:
        return None
    since = _date(value) if is_deprecated else None
    return Deprecation(is_deprecated, since, sunset, tuple(_links(headers, origin)))


def timestamp(seconds: float) -> str:
    """Return a time, in seconds since 1970, as in RFC 3339."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def day(seconds: float) -> str:
    """Return the day of a time, in seconds since 1970."""
    return timestamp(seconds).partition("T")[0]


def _date(value: str) -> float | None:
    item = _DATE.fullmatch(value)
    return _in_range(float(item[1])) if item else _http_date(value)


def _http_date(value: str) -> float | None:
    if len(value) > _MAX_LENGTH:
        return None
    try:
        date = parsedate_to_datetime(value.strip('"'))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if date.tzinfo is None:  # the asctime form names no zone and means UTC (RFC 9110, 5.6.7)
        date = date.replace(tzinfo=UTC)
    try:
        return _in_range(date.timestamp())
    except (ValueError, OverflowError):
        return None


def _in_range(seconds: float) -> float | None:
    """Return a time, or None if no date can show it."""
    try:
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return seconds


def _links(headers: Headers, origin: Origin) -> list[str]:
    """Return where to read about it, as whole URLs."""
    try:
        found = list(targets(headers, ("deprecation", "sunset")))
    except MalformedLink:
        return []
    urls = [f"{origin.site}{url}" if url.startswith("/") else url for url in found]
    whole = [url for url in urls if url.lower().startswith(("https://", "http://"))]
    return list(dict.fromkeys(printable(redact_url(url), _MAX_URL) for url in whole))[:_MAX_LINKS]

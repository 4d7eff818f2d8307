"""What a response says about when to come again.

Retry-After (RFC 9110, section 10.2.3) goes before the `RateLimit` field
(draft-ietf-httpapi-ratelimit-headers-11, section 4): a list of items, each a quota policy with
`r`, what is left of it, and `t`, seconds until it is renewed.  Where nothing is left, the next
request had better wait that long.  Whatever is malformed is ignored, as the draft asks.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from tmux_fanout.core.http.messages import Response

THROTTLED = frozenset({429, 503})

# Possessive, so that no header can make matching take long: a response must not stop the run.
_ITEM = re.compile(
    r'\s*+"[^"]*+"((?:\s*+;\s*+[a-z*][a-z0-9_.*-]*+=(?:"[^"]*+"|[^;,"\s]++))*+)\s*+(?:,|$)'
)
_PARAMETER = re.compile(r";\s*+([rt])=(\d{1,15}+)\s*+(?=;|$)")


def pause_of(response: Response, now: float) -> float | None:
    """Seconds that an endpoint asks not to be called for, or None.

    Args:
        now: seconds since the epoch.
    """
    if response.status in THROTTLED:
        value = response.header(b"retry-after")
        seconds = None if value is None else parse_retry_after(value, now)
        if seconds is not None:
            return seconds
    value = response.header(b"ratelimit")
    return None if value is None else parse_rate_limit(value)


def parse_rate_limit(value: bytes) -> float | None:
    """Seconds until the longest of the exhausted quotas is renewed; None if none is exhausted."""
    text = value.decode("latin-1")
    waits = []
    place = 0
    while place < len(text):
        item = _ITEM.match(text, place)
        if item is None:
            return None
        parameters = dict(_PARAMETER.findall(item[1]))
        if parameters.get("r") == "0" and "t" in parameters:
            waits.append(float(parameters["t"]))
        place = item.end()
    return max(waits, default=None)


def parse_retry_after(value: bytes, now: float) -> float | None:
    """Seconds to wait by a Retry-After header: a number of seconds or a date.

    Args:
        value: as received.
        now: seconds since the epoch.

    Returns:
        At least 0; None where the value is neither, and so to be ignored.
    """
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:  # the asctime form names no zone and means UTC (RFC 9110, 5.6.7)
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None

"""Headers that tell when the next request should be sent.

Retry-After (RFC 9110, section 10.2.3) takes precedence over the `RateLimit` field
(draft-ietf-httpapi-ratelimit-headers-11, section 4): a list of quota policies, each with `r`, the
remaining quota, and `t`, the seconds until it is renewed.  If nothing remains, the next request
should wait that long.  Malformed values are ignored, as the draft requires.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from tmux_fanout.core.http.messages import Response

THROTTLED = frozenset({429, 503})

# Possessive, so that no header can make matching slow: a response must not stall the run.
_ITEM = re.compile(
    r'\s*+"[^"]*+"((?:\s*+;\s*+[a-z*][a-z0-9_.*-]*+=(?:"[^"]*+"|[^;,"\s]++))*+)\s*+(?:,|$)'
)
_PARAMETER = re.compile(r";\s*+([rt])=(\d{1,15}+)\s*+(?=;|$)")


def pause_of(response: Response, now: float) -> float | None:
    """Return the seconds for which an endpoint asks not to be called, or None.

    Args:
        response: of the endpoint.
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
    """Return the seconds until all exhausted quotas are renewed; None if none is exhausted."""
    text = value.decode("latin-1")
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


def parse_retry_after(value: bytes, now: float) -> float | None:
    """Return the seconds to wait according to a Retry-After header: a number or a date.

    Args:
        value: as received.
        now: seconds since the epoch.

    Returns:
        0 or more; None if the value is neither, and is to be ignored.
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

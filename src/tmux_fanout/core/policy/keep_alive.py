"""How long a kept-alive connection may be idle before it is no longer used.

A connection that was idle for long may be dead without either end knowing: a firewall, a NAT or a
load balancer has forgotten it and swallows what is sent, or its server is closing it right now.
Then a GET is sent again, at the cost of a timeout; a POST is lost.

Load balancers and servers close idle connections after 60 s (AWS) or 75 s (nginx), and middleboxes
forget them silently after some minutes (Azure 4, AWS 6).  A limit a little below the shortest of
these avoids them all; a new connection costs one to three round trips, which is little after so
long.  (Go uses 90 s, curl 118 s, hyper 90 s, and httpx 5 s.)

Servers that close connections earlier often announce it, as Apache and Node.js do: `Keep-Alive:
timeout=5, max=100` (RFC 2068, section 19.7.1.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_IDLE = 50.0  # seconds

_MARGIN = 1.0  # seconds; covers the way of a request and the difference of the clocks
_PARAMETER = re.compile(rb"(?:^|[,;])[ \t]*(timeout|max)[ \t]*=[ \t]*\"?(\d{1,9})", re.IGNORECASE)

Headers = Sequence[tuple[bytes, bytes]]


def idle_limit(headers: Headers) -> float:
    """Return the seconds that a connection may be idle, given the headers of a response on it."""
    timeout = _announced(headers, b"timeout")
    if timeout is None:
        return MAX_IDLE
    return min(MAX_IDLE, max(timeout - _MARGIN, timeout / 2))


def requests_left(headers: Headers) -> int | None:
    """Return how many more requests the server takes on a connection, or None if unknown."""
    return _announced(headers, b"max")


def _announced(headers: Headers, parameter: bytes) -> int | None:
    """Return the smallest value of a parameter, if a server sends several."""
    values = [value for name, value in headers if name == b"keep-alive"]
    found = [match for value in values for match in _PARAMETER.findall(value)]
    return min((int(number) for name, number in found if name.lower() == parameter), default=None)

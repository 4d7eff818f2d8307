"""How long a connection that is kept alive may lie idle before another request goes out on it.

What has lain idle for long may be dead without anybody knowing: a firewall, a NAT or a load
balancer forgot it, and swallows what is sent, or its server is closing it this very moment.  A GET
is sent again then, at the cost of a timeout; a POST is lost.

Load balancers and servers close idle connections after 60 s (AWS) or 75 s (nginx), and those
between say nothing when they forget one after some minutes (Azure 4, AWS 6).  A bit less than the
shortest of these keeps clear of them all; a connection costs one round trip or three to make anew,
which is little after so long.  (Go has 90 s, curl 118 s, hyper 90 s, and httpx 5 s.)

Those that close earlier often say so: `Keep-Alive: timeout=5, max=100` (RFC 2068, section
19.7.1.1), as Apache and Node.js do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_IDLE = 50.0  # seconds

_MARGIN = 1.0  # seconds that a request may take to arrive, and clocks may be apart
_PARAMETER = re.compile(rb"(?:^|[,;])[ \t]*(timeout|max)[ \t]*=[ \t]*\"?(\d{1,9})", re.IGNORECASE)

Headers = Sequence[tuple[bytes, bytes]]


def idle_limit(headers: Headers) -> float:
    """Return for how many seconds a connection may lie idle, by the headers of a response on it."""
    timeout = _announced(headers, b"timeout")
    if timeout is None:
        return MAX_IDLE
    return min(MAX_IDLE, max(timeout - _MARGIN, timeout / 2))


def requests_left(headers: Headers) -> int | None:
    """Return how many more requests the server takes on a connection; None if it does not say."""
    return _announced(headers, b"max")


def _announced(headers: Headers, parameter: bytes) -> int | None:
    """Return the smallest value, since a server that says several means one of them."""
    values = [value for name, value in headers if name == b"keep-alive"]
    found = [match for value in values for match in _PARAMETER.findall(value)]
    return min((int(number) for name, number in found if name.lower() == parameter), default=None)

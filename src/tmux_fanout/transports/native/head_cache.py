"""A cache of response heads, so that a head that repeats is not parsed again.

Many servers send the same head again and again, at least for as long as their Date stays the same.
Having llhttp walk such a head byte by byte, with a callback for each header, is a tenth of the cost
of a call.

Only plain heads are cached: those of a final response whose single Content-Length alone determines
where the body ends, on a connection that stays open.  And a response is only recognised when it
arrives whole, in one piece.  llhttp parses everything else.
"""

from __future__ import annotations

import msgspec

from tmux_fanout.core.http.messages import MISDIRECTED
from tmux_fanout.core.http.rate_headers import may_pause
from tmux_fanout.core.policy.keep_alive import Headers, idle_limit, requests_left
from tmux_fanout.core.requests.lifecycle.deprecation import announces

_MAX_HEADS = 128  # a server with more than these hardly repeats any
_MAX_SIZE = 4096  # bytes of a head


class CachedHead(msgspec.Struct, frozen=True, gc=False):
    """A parsed response head, shared by all responses that begin with it.

    Attributes:
        size: bytes of the head, including the empty line that ends it.
        length: bytes of the body.
        status: the status code.
        headers: names in lower case.
        is_plain: whether its responses are; see `Response`.
        max_idle: the result of `announced_idle`.
    """

    size: int
    length: int
    status: int
    headers: Headers
    is_plain: bool
    max_idle: float | None


class ResponseHeadCache:
    """The response heads that one transport has seen."""

    def __init__(self) -> None:
        self._heads: dict[bytes, CachedHead] = {}

    def __repr__(self) -> str:
        return f"<ResponseHeadCache: {len(self._heads)} heads>"

    def find(self, data: bytes) -> CachedHead | None:
        """Return the head of `data` if it is cached and `data` is exactly one whole response."""
        head = self._heads.get(data[: data.find(b"\r\n\r\n") + 4])
        return head if head and len(data) == head.size + head.length else None

    def add(self, data: bytes, status: int, headers: Headers, length: int) -> None:
        """Cache the head of a response, if it is plain.

        Args:
            data: received bytes that were parsed as exactly one final response.
            status: its status code.
            headers: its headers, names in lower case.
            length: bytes of its body.
        """
        size = data.find(b"\r\n\r\n") + 4
        if size > _MAX_SIZE or len(data) != size + length:
            return
        if [value for name, value in headers if name == b"content-length"] != [b"%d" % length]:
            return
        if status == MISDIRECTED or requests_left(headers) == 0:  # the connection gets closed
            return
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        self._heads[data[:size]] = CachedHead(
            size,
            length,
            status,
            tuple(headers),
            not (may_pause(headers) or _is_encoded(headers) or announces(headers)),
            announced_idle(headers),
        )


def _is_encoded(headers: Headers) -> bool:
    return any(name == b"content-encoding" for name, _ in headers)


def announced_idle(headers: Headers) -> float | None:
    """Return the seconds that a Keep-Alive header lets a connection be idle; None without one."""
    if any(name == b"keep-alive" for name, _ in headers):
        return idle_limit(headers)
    return None

"""A filter for HTTP/2 frames, which keeps from `h2` those that it handles too strictly.

After a GOAWAY, the streams up to a given number run to completion (RFC 9113, section 6.8); servers
send it when they restart, or after some number of requests.  h2 considers the connection closed
from there on, and refuses the rest of those responses.  So it does not see GOAWAY.

Extensions are ignored, malformed or not: ALTSVC (RFC 7838, section 4), ORIGIN (RFC 8336), and
unknown frames (RFC 9113, section 5.5).  So is PRIORITY, which is obsolete.  h2 parses some of them,
and ends the connection if it cannot.  None of them may occur inside a field block; there h2 sees
them, and rightly ends the connection.
"""

from __future__ import annotations

from typing import NamedTuple

from tmux_fanout.core.errors import TransportError

_HEADER = 9
_MAX_FRAME = 16384  # bytes; h2 announces no more
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE = 0, 1, 3, 4, 5
_PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 6, 7, 8, 9
_FIELD_BLOCK = frozenset({_HEADERS, _PUSH_PROMISE, _CONTINUATION})
_FOR_H2 = _FIELD_BLOCK | {_DATA, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE}
_END_HEADERS = 4


class Goaway(NamedTuple):
    """A GOAWAY frame: the server answers no stream after number `last`, because of `code`."""

    last: int
    code: int


class FrameFilter:
    """Assembles received bytes into whole frames."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False
        self._is_in_field_block = False

    def __repr__(self) -> str:
        return f"<FrameFilter: {len(self._rest)} bytes of a frame>"

    def feed(self, data: bytes) -> tuple[bytes, Goaway | None]:
        """Return all whole frames that are for h2, and the last GOAWAY.

        Raises:
            TransportError: `protocol`; the bytes are not HTTP/2.
        """
        self._rest += data
        goaway, passed, at = None, [], 0
        while len(self._rest) - at >= _HEADER:
            size, kind = int.from_bytes(self._rest[at : at + 3], "big"), self._rest[at + 3]
            if size > _MAX_FRAME or (not self._begun and kind != _SETTINGS):
                raise TransportError("protocol", "not valid HTTP/2: an invalid frame", sent=True)
            end = at + _HEADER + size
            if len(self._rest) < end:
                break
            self._begun = True
            frame = bytes(self._rest[at:end])
            if kind in _FOR_H2 or self._is_in_field_block:
                passed.append(frame)
            elif kind == _GOAWAY:
                goaway = _parsed(frame)
            if kind in _FIELD_BLOCK:
                self._is_in_field_block = not frame[4] & _END_HEADERS
            at = end
        del self._rest[:at]
        return b"".join(passed), goaway


def _parsed(frame: bytes) -> Goaway:
    if len(frame) < _HEADER + 8:
        raise TransportError("protocol", "not valid HTTP/2: a truncated GOAWAY", sent=True)
    last = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
    return Goaway(last, int.from_bytes(frame[13:17], "big"))

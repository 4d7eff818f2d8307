"""Frames of HTTP/2 on their way to `h2`, for the one kind that it takes too seriously.

After a GOAWAY the streams up to a number go on to their ends (RFC 9113, section 6.8); that is how
servers say good-bye when they restart, or after so many requests.  h2 regards the connection as
closed from there on, and refuses the rest of those responses.  So GOAWAY is kept from it.
"""

from __future__ import annotations

from typing import NamedTuple

from tmux_fanout.core.errors import Failure

_HEADER = 9
_MAX_FRAME = 16384  # h2 announces no more
_SETTINGS, _GOAWAY = 4, 7


class Goaway(NamedTuple):
    """The server answers no stream past `last`."""

    last: int
    code: int


class FrameFilter:
    """Takes received bytes, and gives whole frames."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False

    def __repr__(self) -> str:
        return f"<FrameFilter: {len(self._rest)} bytes of a frame>"

    def feed(self, data: bytes) -> tuple[bytes, Goaway | None]:
        """All frames that are whole but those of GOAWAY, and the last of these.

        Raises:
            Failure: `protocol`; this is not HTTP/2.
        """
        self._rest += data
        goaway, passed, at = None, [], 0
        while len(self._rest) - at >= _HEADER:
            size, kind = int.from_bytes(self._rest[at : at + 3], "big"), self._rest[at + 3]
            if size > _MAX_FRAME or (not self._begun and kind != _SETTINGS):
                raise Failure("protocol", "not valid HTTP/2: not its frames", sent=True)
            end = at + _HEADER + size
            if len(self._rest) < end:
                break
            self._begun = True
            frame = bytes(self._rest[at:end])
            if kind == _GOAWAY:
                goaway = _parsed(frame)
            else:
                passed.append(frame)
            at = end
        del self._rest[:at]
        return b"".join(passed), goaway


def _parsed(frame: bytes) -> Goaway:
    if len(frame) < _HEADER + 8:
        raise Failure("protocol", "not valid HTTP/2: a GOAWAY that is cut short", sent=True)
    last = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
    return Goaway(last, int.from_bytes(frame[13:17], "big"))

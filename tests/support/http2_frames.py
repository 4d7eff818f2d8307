"""HTTP/2 frames as bytes, valid or not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import h2.errors
from hpack import Encoder
from support.server import Peer

Fields = list[tuple[str, str]]

STATUS_OK = (":status", "200")
OK: Fields = [STATUS_OK]


def frame(kind: int, number: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload
    )


def head(number: int, fields: Fields, *, end: bool = False) -> bytes:
    # Never indexed, so that the state of the server's own encoder does not change.
    block = Encoder().encode([(name, value, True) for name, value in fields], huffman=False)
    first, *more = [block[at : at + 16384] for at in range(0, len(block), 16384)] or [b""]
    made = frame(1, number, first, end | (0 if more else 4))
    for piece in more[:-1]:
        made += frame(9, number, piece)
    return made + (frame(9, number, more[-1], 4) if more else b"")


def data(number: int, payload: bytes) -> bytes:
    return frame(0, number, payload, 1)


def reset(number: int, code: h2.errors.ErrorCodes) -> bytes:
    return frame(3, number, int(code).to_bytes(4, "big"))


def goaway(last: int, code: h2.errors.ErrorCodes = h2.errors.ErrorCodes.NO_ERROR) -> bytes:
    return frame(7, 0, last.to_bytes(4, "big") + int(code).to_bytes(4, "big"))


def setting(name: int, value: int) -> bytes:
    return frame(4, 0, name.to_bytes(2, "big") + value.to_bytes(4, "big"))


def window_update(size: int) -> bytes:
    return frame(8, 0, size.to_bytes(4, "big"))


async def frames(peer: Peer) -> AsyncIterator[tuple[int, int, int]]:
    """Yield kind, stream and size of each frame received; no window is ever opened."""
    buffer = bytearray()
    while more := await peer.some():
        buffer += more
        if buffer.startswith(b"PRI"):
            del buffer[:24]
        while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
            frame = bytes(buffer[:end])
            del buffer[:end]
            yield frame[3], int.from_bytes(frame[5:9], "big"), end - 9

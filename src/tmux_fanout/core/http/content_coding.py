"""Undoing content codings (RFC 9110, section 8.4), with a cap on what comes out."""

from __future__ import annotations

import zlib

ACCEPT_ENCODING = "gzip, deflate"
_MOST_CODINGS = 4
_MOST_MEMBERS = 10_000
_STEP = 16 << 10  # what follows a gzip member is copied: at most this much, however many there are


class Undecodable(ValueError):
    """The body does not decode: unknown coding, damaged or cut short."""


class TooLarge(ValueError):
    """The decoded body is larger than allowed."""


def decode_content(body: bytes, codings: str, cap: int) -> bytes:
    """`body` with its content codings undone, the last one first.

    Args:
        body: as received.
        codings: the value of Content-Encoding; `identity`, which some servers call `none`, and an
            empty string mean none.
        cap: most bytes that any step may give.

    Raises:
        Undecodable: a coding is unknown, or the data is damaged or cut short.
        TooLarge: a step gives more than `cap` bytes.
    """
    names = [name for part in codings.lower().split(",") if (name := part.strip())]
    if len(names) > _MOST_CODINGS:
        raise Undecodable(f"{len(names)} content codings on top of each other")
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            body = _inflate(body, zlib.MAX_WBITS | 16, cap, name)
        elif name == "deflate":
            # Meant is the zlib format; some servers send the bare stream (RFC 9110, 8.4.1.2).
            is_zlib = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
            body = _inflate(body, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, cap, name)
        elif name not in ("identity", "none"):
            raise Undecodable(f"unknown content coding {name!r}")
    return body


def _inflate(body: bytes, wbits: int, cap: int, name: str) -> bytes:
    """One or, for gzip, several members in a row (RFC 1952, section 2.2).

    What may follow is padding with zeros after gzip, as gzip(1) takes it, and the checksum of the
    zlib format after a bare deflate stream.
    """
    pieces: list[bytes] = []
    size = position = members = 0
    decoder = zlib.decompressobj(wbits)
    while position < len(body):
        if decoder.eof:
            if _is_harmless(body, position, pieces, wbits):
                break
            members += 1
            if name == "deflate" or members == _MOST_MEMBERS:
                raise Undecodable(f"data after the end of the {name} data")
            decoder = zlib.decompressobj(wbits)
        step = body[position : position + _STEP]
        try:
            piece = decoder.decompress(step, cap - size + 1)
        except zlib.error as exc:
            raise Undecodable(f"damaged {name} data") from exc
        size += len(piece)
        if size > cap:
            raise TooLarge
        pieces.append(piece)
        position += len(step) - len(decoder.unused_data)
    if body and not decoder.eof:
        raise Undecodable(f"{name} data cut short")
    return b"".join(pieces)


def _is_harmless(body: bytes, end: int, pieces: list[bytes], wbits: int) -> bool:
    """Whether what follows the end of compressed data says nothing, or that the data is sound."""
    if wbits > zlib.MAX_WBITS:
        return body[end] == 0 and not body[end:].strip(b"\0")
    is_bare = wbits < 0
    return is_bare and body[end:] == zlib.adler32(b"".join(pieces)).to_bytes(4, "big")

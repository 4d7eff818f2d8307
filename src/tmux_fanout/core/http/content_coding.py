"""Decoding of content codings (RFC 9110, section 8.4), with a limit on the decoded size."""

from __future__ import annotations

import zlib

ACCEPT_ENCODING = "gzip, deflate"
_MAX_CODINGS = 4
_MAX_MEMBERS = 10_000
_STEP = 16 << 10  # bytes; zlib copies what follows a gzip member, so this bounds each copy


class Undecodable(ValueError):
    """The body cannot be decoded: the coding is unknown, or the data is damaged or cut short."""


class TooLarge(ValueError):
    """The decoded body is larger than allowed."""


def decode_content(body: bytes, codings: str, cap: int) -> bytes:
    """Return `body` with its content codings undone, the last one first.

    Args:
        body: as received.
        codings: the value of Content-Encoding; `identity`, which some servers call `none`, and an
            empty string mean no coding.
        cap: limit on the bytes that result from any coding.

    Raises:
        Undecodable: a coding is unknown, or the data is damaged or cut short.
        TooLarge: a coding results in more than `cap` bytes.
    """
    names = [name for part in codings.lower().split(",") if (name := part.strip())]
    if len(names) > _MAX_CODINGS:
        raise Undecodable(f"{len(names)} content codings on top of each other")
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            body = _inflate(body, zlib.MAX_WBITS | 16, cap, name)
        elif name == "deflate":
            # The zlib format is meant; some servers send the bare stream (RFC 9110, 8.4.1.2).
            is_zlib = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
            body = _inflate(body, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, cap, name)
        elif name not in ("identity", "none"):
            raise Undecodable(f"unknown content coding {name!r}")
    return body


def _inflate(body: bytes, wbits: int, cap: int, name: str) -> bytes:
    """Decompress one member or, for gzip, several in a row (RFC 1952, section 2.2).

    Zeros may follow gzip data, as gzip(1) accepts, and the checksum of the zlib format may follow a
    bare deflate stream.
    """
    pieces: list[bytes] = []
    size = position = members = 0
    decoder = zlib.decompressobj(wbits)
    while position < len(body):
        if decoder.eof:
            if _is_harmless(body, position, pieces, wbits):
                break
            members += 1
            if name == "deflate" or members == _MAX_MEMBERS:
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
    """Return whether the bytes after compressed data are mere padding, or its correct checksum."""
    if wbits > zlib.MAX_WBITS:
        return body[end] == 0 and not body[end:].strip(b"\0")
    is_bare = wbits < 0
    return is_bare and body[end:] == zlib.adler32(b"".join(pieces)).to_bytes(4, "big")

"""Decoding of content codings (RFC 9110, section 8.4), with a limit on the decoded size."""

from __future__ import annotations

import zlib

ACCEPT_ENCODING = "gzip, deflate"
_MAX_CODINGS = 4
_MAX_MEMBERS = 10_000
_GZIP_MEMBER = b"\x1f\x8b\x08"  # RFC 1952, section 2.3.1
_STEP = 16 << 10  # bytes; zlib copies what follows a gzip member, so this bounds each copy
# Registered codings (IANA, "HTTP Content Coding Registry") that are not undone here.  Any other
# name, such as `utf-8` or `binary`, is no coding: browsers take the body as it is.
_CODED = frozenset(
    {"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "lzma", "pack200-gzip", "sdch"}
    | {"x-compress", "xz", "zstd"}
)


class Undecodable(ValueError):
    """The body cannot be decoded: the coding is not supported, or the data is damaged or cut."""


class TooLarge(ValueError):
    """The decoded body is larger than allowed."""


def decode_content(body: bytes, codings: str, cap: int) -> bytes:
    """Return `body` with its content codings undone, the last one first.

    Args:
        body: as received.
        codings: the value of Content-Encoding; `identity`, an empty string, and names that are not
            those of a coding, such as `none` or `utf-8`, mean no coding.
        cap: limit on the bytes that result from any coding.

    Raises:
        Undecodable: a coding is not supported, or the data is damaged or cut short.
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
        elif name.partition(";")[0].rstrip() in _CODED:
            raise Undecodable(f"content coding {name!r}, which was not asked for")
    return body


def _inflate(body: bytes, wbits: int, cap: int, name: str) -> bytes:
    """Decompress one stream or, for gzip, several members in a row (RFC 1952, section 2.2).

    What follows their end is dropped, as in browsers and gzip(1): padding, a checksum or garbage.
    """
    pieces: list[bytes] = []
    size = position = members = 0
    decoder = zlib.decompressobj(wbits)
    while position < len(body):
        if decoder.eof:
            following = _next_member(body, position) if wbits > zlib.MAX_WBITS else None
            if following is None:
                break
            position = following
            members += 1
            if members == _MAX_MEMBERS:
                raise Undecodable(f"more than {_MAX_MEMBERS} members of {name} data")
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


def _next_member(body: bytes, end: int) -> int | None:
    """Return where the next gzip member begins, which may be cut short; None if there is none.

    Args:
        body: of the response.
        end: of the last member; zeros may follow it.
    """
    start = end
    if body[end] == 0:
        start = len(body) - len(body[end:].lstrip(b"\0"))
    magic = body[start : start + len(_GZIP_MEMBER)]
    return start if magic and _GZIP_MEMBER.startswith(magic) else None

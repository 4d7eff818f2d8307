"""Bodies with content codings, valid and invalid."""

from __future__ import annotations

import gzip
import zlib

TEXT = b'{"text": "' + b"abc " * 500 + b'"}'
CAP = 100_000
BOMB = bytes(CAP + 1)


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def with_byte_flipped(data: bytes, at: int) -> bytes:
    return bytes([*data[:at], data[at] ^ 0xFF, *data[at:][1:]])


GZIPPED = gzip.compress(TEXT, mtime=0)

# Content-Encoding, and the body as sent, which decodes to TEXT.
DECODED = {
    "gzip": ("gzip", GZIPPED),
    "gzip in capitals": ("GZip", GZIPPED),
    "x-gzip": ("x-gzip", GZIPPED),
    "members of gzip": ("gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "deflate without its frame": ("deflate", raw_deflate(TEXT)),
    "identity": ("identity", TEXT),
    "two": ("deflate, gzip", gzip.compress(zlib.compress(TEXT))),
    "two headers": ("deflate\r\nContent-Encoding: gzip", gzip.compress(zlib.compress(TEXT))),
    "nothing named": ("", TEXT),
    "garbage after the end": ("gzip", GZIPPED + b"garbage"),
    "garbage after deflate": ("deflate", zlib.compress(TEXT) + b"garbage"),
    "a charset named as a coding": ("utf-8", TEXT),
}

# Content-Encoding, the body as sent, and the kind of error with a limit of CAP bytes.
REFUSED = {
    "unknown": ("br", TEXT, "decode"),
    "unknown under a known one": ("br, gzip", GZIPPED, "decode"),
    "not what it says": ("gzip", TEXT, "decode"),
    "cut short": ("gzip", GZIPPED[:-9], "decode"),
    "cut in its checksum": ("gzip", GZIPPED[:-1], "decode"),
    "bad checksum": ("gzip", with_byte_flipped(GZIPPED, -8), "decode"),
    "bad size": ("gzip", with_byte_flipped(GZIPPED, -1), "decode"),
    "bad checksum of deflate": ("deflate", with_byte_flipped(zlib.compress(TEXT), -1), "decode"),
    "deflate cut short": ("deflate", raw_deflate(TEXT)[:-2], "decode"),
    "many": (", ".join(["gzip"] * 5), TEXT, "decode"),
    "gzip bomb": ("gzip", gzip.compress(BOMB), "too_large"),
    "deflate bomb": ("deflate", raw_deflate(BOMB), "too_large"),
    "bomb of members": ("gzip", gzip.compress(BOMB[:50_001]) * 2, "too_large"),
    "bomb under a coding": ("deflate, gzip", gzip.compress(zlib.compress(BOMB)), "too_large"),
}

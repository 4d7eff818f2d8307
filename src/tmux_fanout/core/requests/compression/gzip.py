"""Requests with compressed bodies, and what an answer says of them.

A server that cannot read the content coding of a request answers 415 (RFC 9110, section 15.5.16),
but also where the media type is what it cannot read.  Accept-Encoding in such an answer tells which
codings it can read (RFC 7694, section 3); where that is missing, the same request without the
coding tells.
"""

from __future__ import annotations

import zlib

from tmux_fanout.core.http.messages import Request, RequestHead, Response

MIN_SIZE = 1024  # bytes of a body that is worth it

UNSUPPORTED = 415

_GZIP = zlib.MAX_WBITS | 16
_HEADER = ("Content-Encoding", "gzip")  # this very object marks what was compressed here
_UNCERTAIN = frozenset({408, 429})


def compress(body: bytes) -> bytes:
    """Return a body in the format gzip; equal bodies give equal bytes, without a time in them."""
    return zlib.compress(body, wbits=_GZIP)


def compressed_head(head: RequestHead) -> RequestHead | None:
    """Return the head of a request whose body is compressed; None if it is not to be.

    Content that is coded already stays as it is, and so does multipart content, whose parts may be
    coded already.
    """
    for name, value in head.headers:
        key = name.lower()
        if key == "content-encoding":
            return None
        if key == "content-type" and value.lstrip().lower().startswith("multipart/"):
            return None
    headers = (*head.headers, _HEADER)
    return RequestHead(head.method, head.origin, head.target, headers, head.is_shared, head.auth)


def is_compressed(request: Request) -> bool:
    """Return whether the body of a request was compressed here."""
    return any(header is _HEADER for header in request.head.headers)


def plain(request: Request) -> Request:
    """Return a request that was compressed here as it was before."""
    head = request.head
    headers = tuple(header for header in head.headers if header is not _HEADER)
    restored = RequestHead(head.method, head.origin, head.target, headers, auth=head.auth)
    return Request(restored, zlib.decompress(request.body or b"", _GZIP))


def may_be_refused_coding(answer: Response) -> bool:
    """Return whether an answer may mean that the server cannot read compressed bodies."""
    if answer.status != UNSUPPORTED or answer.answered:
        return False
    accepted = [value for name, value in answer.headers if name == b"accept-encoding"]
    return not any(map(_accepts_gzip, b",".join(accepted).lower().split(b",")))


def _accepts_gzip(item: bytes) -> bool:
    coding, _, weight = item.replace(b" ", b"").replace(b"\t", b"").partition(b";q=")
    is_zero = bool(weight) and not weight.strip(b"0.")
    return coding in (b"gzip", b"x-gzip", b"*") and not is_zero


def is_verdict(answer: Response) -> bool:
    """Return whether an answer to a plain request shows that the server has read it."""
    return answer.status < 500 and answer.status not in _UNCERTAIN

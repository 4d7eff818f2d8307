"""Which requests are identical, so that the answer to one of them is that to all.

These are requests with the same method, URL, socket, headers and body.  A header that would make
each request differ, though the server answers all of them alike, does not count: an idempotency key
that is derived from the record and its index.  One that is taken from fields of the record counts,
since it says which operation is meant.  What transports add (`traceparent`, the token of OAuth 2.0)
is no part of a request, and the same for all requests of an API or for none.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from tmux_fanout.core.http.messages import Request, RequestHead
from tmux_fanout.core.requests.builder import KEY_HEADER, RequestBuilder


class Identity:
    """Tells which requests of one API are identical.

    Args:
        requests: builds them.
        no_part: headers that do not count either, in lower case.
    """

    def __init__(self, requests: RequestBuilder, no_part: frozenset[str] = frozenset()) -> None:
        self._no_part = no_part
        self._derives_key = isinstance(requests.key, str)
        self._head: RequestHead | None = None  # the last one that is shared
        self._started = sha256()  # with that head

    def __repr__(self) -> str:
        return f"<Identity: {'derived' if self._derives_key else 'no derived'} keys>"

    def of(self, request: Request) -> bytes:
        """Return the identity of a request: a digest, equal for identical requests only."""
        head = request.head
        if head is not self._head:
            started = sha256()
            for part in self._parts(head):
                started.update(b"%d:%b" % (len(part), part))
            if head.is_shared:
                self._head, self._started = head, started
        else:
            started = self._started
        digest = started.copy()
        digest.update(b"-" if request.body is None else b"+" + request.content)
        return digest.digest()

    def _parts(self, head: RequestHead) -> Iterator[bytes]:
        yield head.method.encode()
        yield head.url.encode(errors="surrogatepass")
        yield head.origin.socket.encode(errors="surrogatepass")
        for name, value in head.headers:
            lower = name.lower()
            if lower not in self._no_part and not (self._derives_key and name == KEY_HEADER):
                yield lower.encode()
                yield value.encode(errors="surrogatepass")

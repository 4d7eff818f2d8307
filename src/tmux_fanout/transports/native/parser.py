"""Bytes into responses: HTTP/1.1 framing (RFC 9112, section 6), sans I/O.

llhttp, in its strict mode, knows the syntax and rejects what is ambiguous: several or odd lengths,
a length beside chunks, bad chunks, bare line feeds.  What it cannot know is kept here: which
request is being answered (a response to HEAD has no body), that nobody asked for bytes after the
end, when a close is an end and when a loss, and how much is too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httptools

from tmux_fanout.core.errors import Failure
from tmux_fanout.core.http import Response
from tmux_fanout.transports.native.heads import Heads

MAX_HEAD = 64 << 10
# Chunks of one byte have five bytes around it; past this, a sender wastes on purpose.
_MOST_OVERHEAD_PER_BYTE = 8
# llhttp takes responses of RTSP and ICE as well, and of any version of HTTP.
_FIRST_BYTES = b"H\r\n"
_VERSIONS = ("1.1", "1.0")


class ResponseParser:
    """Parses the responses of one connection, one after another.

    Args:
        max_body: most bytes of a body, before content codings are undone.
        heads: those that are known, or None where every response has to be parsed.
    """

    def __init__(self, max_body: int, heads: Heads | None = None) -> None:
        self._max_body = max_body
        self._heads = heads
        self._llhttp: Any = httptools.HttpResponseParser(self)
        self._llhttp_is_spent = False
        self._pieces: list[bytes] = []
        self._is_fresh = False
        self._is_head = True
        self.start("")

    def __repr__(self) -> str:
        state = "complete" if self.complete else "unfinished"
        return f"<ResponseParser: {state}, {self.received} bytes received>"

    def start(self, method: str) -> None:
        """Expect the response to a request with this method."""
        is_head = method == "HEAD"
        if self._is_fresh and self._is_head == is_head:
            return
        self._is_fresh = True
        if self._llhttp_is_spent:
            self._llhttp = httptools.HttpResponseParser(self)
        self._llhttp_is_spent = self._is_head = is_head
        self.complete = False
        self.keep_alive = False
        self.received = 0
        self.status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self.headers: Sequence[tuple[bytes, bytes]] = self._fields
        self._has_head = False
        self._has_length = False
        self._excess = False
        self._interim = False
        self._oddity = ""
        self._coding = b""
        self._pieces.clear()
        self._size = 0

    def close(self) -> None:
        """Drop what has come, and llhttp, which refers back to the parser.

        No garbage collection is needed then.
        """
        self._llhttp = None
        self._pieces.clear()

    def take_body(self) -> bytes:
        """The body, which is not kept here: the connection may stay idle for long."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def recognise(self, data: bytes) -> Response | None:
        """The response, if `data` is a whole one with a head that was seen before.

        The parser is then as if nothing had come.
        """
        if not self._is_fresh or self._heads is None or self._is_head:
            return None
        head = self._heads.recognise(data)
        if head is None or head.length > self._max_body:
            return None
        return Response(head.status, head.headers, data[head.size :], len(data))

    def feed(self, data: bytes) -> bool:
        """Take received bytes.  Returns whether the response is complete.

        Raises:
            Failure: `protocol` or `too_large`.
        """
        is_first = self._is_fresh and bool(data)
        self._is_fresh = self._is_fresh and not data
        if is_first and data[:1].strip(_FIRST_BYTES):
            raise _malformed("not a valid HTTP/1.1 response: it does not begin with HTTP/1")
        self.received += len(data)
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise _malformed("the server switches protocols without being asked") from None
        except httptools.HttpParserError as exc:
            if not self.complete:
                raise _malformed(f"not a valid HTTP/1.1 response: {exc}") from exc
            self._excess = True
        if self._oddity:
            raise _malformed(self._oddity)
        if self._excess:
            raise _malformed("the response goes on after its end")
        if self._size > self._max_body:
            raise _too_large(f"the response body is larger than {self._max_body} bytes")
        if self.received > MAX_HEAD + self._size * (1 + _MOST_OVERHEAD_PER_BYTE):
            what = "framing" if self._has_head else "head"
            raise _too_large(f"the {what} of the response is larger than {MAX_HEAD} bytes")
        if self._coding not in (b"", b"chunked"):
            raise _malformed("a transfer coding other than chunked")
        if is_first and self.complete and self.keep_alive and self._heads and self._is_plain():
            self._heads.remember(data, self.status, self.headers, self._size)
        return self.complete

    def _is_plain(self) -> bool:
        """Whether the length alone says where the response ends, however it is looked at."""
        lengths = [value for name, value in self.headers if name == b"content-length"]
        is_said = lengths == [b"%d" % self._size]
        return is_said and not self._coding and not self._is_head and not self._interim

    def feed_eof(self) -> bool:
        """The server has closed the connection, which may be the end of the response.

        Returns:
            That it is complete.

        Raises:
            Failure: `protocol`; the response is cut short.
        """
        if not self._has_head or self._has_length or self._coding:
            where = "in the middle of" if self.received else "before"
            message = f"the server closed the connection {where} the response"
            raise Failure("protocol", message, sent=True, transient=True)
        self.complete = True
        return True

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._excess = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return  # a trailer
        name = name.lower()
        if name == b"content-length":
            self._has_length = True
        elif name == b"transfer-encoding":
            self._coding = value.strip().lower() if not self._coding else b"several"
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._llhttp.get_status_code()
        if self.status < 100 or self._llhttp.get_http_version() not in _VERSIONS:
            self._oddity = "not a valid HTTP/1.1 response: unknown version or status"
        if self.status >= 200:
            self._has_head = True
            if self._is_head:
                self.complete = True
                self.keep_alive = self._llhttp.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self._excess = self.complete
        if not self._has_head:
            self._oddity = "an interim response with a body"
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self._has_head:
            self.complete = True
            self.keep_alive = self._llhttp.should_keep_alive()
        else:  # an interim response (RFC 9110, section 15.2)
            self._fields.clear()
            self._interim = True
            self._has_length = False
            self._coding = b""


def _malformed(message: str) -> Failure:
    return Failure("protocol", message, sent=True)


def _too_large(message: str) -> Failure:
    return Failure("too_large", message, sent=True)

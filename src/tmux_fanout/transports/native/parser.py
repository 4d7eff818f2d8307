"""Bytes into responses: HTTP/1.1 framing (RFC 9112, section 6), sans I/O.

llhttp, in its strict mode, knows the syntax and rejects what is ambiguous: several or odd lengths,
a length beside chunks, bad chunks, bare line feeds.  What it cannot know is kept here: which
request is being answered (a response to HEAD has no body), that nobody asked for bytes after the
end, when a close is an end and when a loss, and how much is too much.
"""

from __future__ import annotations

from typing import Any

import httptools

from tmux_fanout.core.errors import Failure

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
    """

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._llhttp: Any = httptools.HttpResponseParser(self)
        self._llhttp_is_spent = False
        self._pieces: list[bytes] = []
        self.start("")

    def __repr__(self) -> str:
        state = "complete" if self.complete else "unfinished"
        return f"<ResponseParser: {state}, {self.received} bytes received>"

    def start(self, method: str) -> None:
        """Expect the response to a request with this method."""
        if self._llhttp_is_spent:
            self._llhttp = httptools.HttpResponseParser(self)
        self._llhttp_is_spent = self._is_head = method == "HEAD"
        self.complete = False
        self.keep_alive = False
        self.received = 0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._has_head = False
        self._has_length = False
        self._excess = False
        self._oddity = ""
        self._coding = b""
        self._pieces.clear()
        self._size = 0

    def take_body(self) -> bytes:
        """The body, which is not kept here: the connection may stay idle for long."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed(self, data: bytes) -> bool:
        """Take received bytes.  Returns whether the response is complete.

        Raises:
            Failure: `protocol` or `too_large`.
        """
        if not self.received and data[:1].strip(_FIRST_BYTES):
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
        return self.complete

    def feed_eof(self) -> None:
        """The server has closed the connection; that may be the end of the response.

        Raises:
            Failure: `protocol`; the response is cut short.
        """
        if not self._has_head or self._has_length or self._coding:
            where = "in the middle of" if self.received else "before"
            message = f"the server closed the connection {where} the response"
            raise Failure("protocol", message, sent=True, transient=True)
        self.complete = True

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
        self.headers.append((name, value))

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
            self.headers.clear()
            self._has_length = False
            self._coding = b""


def _malformed(message: str) -> Failure:
    return Failure("protocol", message, sent=True)


def _too_large(message: str) -> Failure:
    return Failure("too_large", message, sent=True)

"""The response that is being received, as llhttp reports it piece by piece."""

from __future__ import annotations

from typing import Any

import httptools

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.policy.keep_alive import Headers
from tmux_fanout.transports.native.relaxed import HeadReader, Malformed

INVALID = "not a valid HTTP/1.1 response"
EXCESS = "data after the end of the response"


class IncomingResponse:
    """One response after another; its `on_` methods are llhttp's callbacks.

    Args:
        keeps_body: whether to keep the body for `take_body`.

    Attributes:
        llhttp: parses this response and calls back; None once it is closed.
        answers_head: whether the request was HEAD, so that there is no body.
        complete: whether the whole response has been received.
        keep_alive: whether the server keeps the connection open after it.
        status: the status code of this response or of the interim one before it.
        headers: names in lower case.
        has_head: whether the head is complete.
        has_length: whether the head has a Content-Length.
        coding: the transfer coding in lower case, or "".
        interims: number of interim responses so far.
        is_unusual: whether there is a transfer coding or an old version to be checked.
        error: what is wrong, found in a callback, where llhttp would hide an exception.
        size: bytes of the body so far.
    """

    def __init__(self, *, keeps_body: bool = True) -> None:
        self._keeps_body = keeps_body
        self._pieces: list[bytes] = []
        self.restart_llhttp()
        self.clear()

    def __repr__(self) -> str:
        state = "complete" if self.complete else "unfinished"
        return f"<IncomingResponse: {state}, {self.size} bytes of body>"

    def clear(self, *, answers_head: bool = False) -> None:
        """Forget the last response, and expect the next one."""
        self.answers_head = answers_head
        self.complete = False
        self.keep_alive = False
        self.status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self.headers: Headers = self._fields
        self.has_head = False
        self.has_length = False
        self.coding = b""
        self.interims = 0
        self.is_unusual = self._is_old = False
        self.error = ""
        self.clear_body()

    def restart_llhttp(self) -> None:
        """Have a new llhttp, which expects the beginning of a response."""
        self.llhttp: Any = httptools.HttpResponseParser(self)

    def clear_body(self) -> None:
        """Forget the body so far."""
        self._pieces.clear()
        self.size = 0

    def take_body(self) -> bytes:
        """Return the body and forget it, as the connection may be idle for long."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Drop the body, and llhttp, which refers back to this object.

        This leaves no reference cycle for the garbage collector.
        """
        self.llhttp = None
        self._pieces.clear()

    @property
    def is_regular(self) -> bool:
        """Whether it is a single response whose body, if any, has no transfer coding."""
        return not (self.interims or self.coding or self.answers_head)

    @property
    def ends_with_stream(self) -> bool:
        """Whether only the end of the stream tells where the body ends."""
        return self.has_head and not self.has_length and not self.coding

    def check_unusual(self) -> None:
        """Check what few responses have: a transfer coding, or version 1.0.

        Raises:
            TransportError: `protocol`.
        """
        if self.coding not in (b"", b"chunked"):
            raise TransportError("protocol", "a transfer coding other than chunked", sent=True)
        if self._is_old:
            # HTTP/1.0 has no chunks (RFC 9112, section 6.1), and llhttp only looks for keep-alive.
            self.keep_alive = self.keep_alive and not self.coding and not self._says_close()

    def _says_close(self) -> bool:
        options = b",".join(value for name, value in self.headers if name == b"connection")
        return b"close" in map(bytes.strip, options.lower().split(b","))

    def take_head(self, head: HeadReader) -> None:
        """Take a final head that llhttp did not read, and have llhttp judge its framing.

        Raises:
            httptools.HttpParserError: it is ambiguous where the body ends.
        """
        self._fields.clear()
        self.has_length = False
        self.coding = b""
        self.restart_llhttp()
        self.llhttp.feed_data(head.framing())
        self._fields[:] = head.fields

    def complete_now(self) -> None:
        """Note that this was the end."""
        self.complete = True
        self.keep_alive = self.llhttp.should_keep_alive()

    def on_message_begin(self) -> None:
        if self.complete:
            self.error = EXCESS

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:
            return  # a trailer
        name = name.lower()
        if name == b"content-length":
            self.has_length = True
        elif name == b"transfer-encoding":
            self.coding = value.strip().lower() if not self.coding else b"several"
            self.is_unusual = True
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self.llhttp.get_status_code()
        version = self.llhttp.get_http_version()
        if version != "1.1" or self.status < 100:
            self.is_unusual = self._is_old = True
            if version != "1.0" or self.status < 100:
                self.error = f"{INVALID}: unknown version or status"
        if self.status >= 200:
            self.has_head = True
            if self.answers_head:
                self.complete_now()

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.error = EXCESS
        elif not self.has_head:  # llhttp only knows some of the interim statuses
            raise Malformed("an interim response has no body")
        if self._keeps_body:
            self._pieces.append(data)
        self.size += len(data)

    def on_message_complete(self) -> None:
        if self.has_head:
            self.complete_now()
        else:  # an interim response (RFC 9110, section 15.2)
            self._fields.clear()
            self.interims += 1
            self.has_length = False
            self.coding = b""

"""Bytes into responses: HTTP/1.1 framing (RFC 9112, section 6), sans I/O.

llhttp, in its strict mode, knows the syntax and rejects what is ambiguous: several or odd lengths,
a length beside chunks, bad chunks.  What it cannot know is kept here: which request is being
answered (a response to HEAD has no body), that nobody asked for bytes after the end, when a close
is an end and when a loss, and how much is too much.

llhttp also rejects what is odd but plain, and other clients take.  So a head that it refuses is
read again by `relaxed`, and so are chunks.  There is no way to take over from llhttp in the middle
of a body: chunks are kept as they came, and `relaxed` reads those that are too many to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httptools

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.transports.native.head_cache import Heads
from tmux_fanout.transports.native.relaxed import Chunks, Head, Malformed, may_go_on

MAX_HEAD = 64 << 10
_MOST_KEPT = 64 << 10  # bytes of a response in chunks, as they came
# Chunks of one byte have five bytes around it; past this, a sender wastes on purpose.
_MOST_OVERHEAD_PER_BYTE = 8
# llhttp takes responses of RTSP and ICE as well, and of any version of HTTP.
_FIRST_BYTES = b"H\r\n"
_LINE_BREAKS = b"\r\n"
_EXCESS = "the response goes on after its end"
_SWITCHES = "the server switches protocols without being asked"


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
        self._kept: list[bytes] = []
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
        self._interims = 0
        self._oddity = ""
        self._coding = b""
        self._is_unusual = self._is_old = False
        self._pieces.clear()
        self._size = 0
        self._kept.clear()
        # What `relaxed` reads.
        self._is_relaxed = False
        self._head: Head | None = None
        self._chunks: Chunks | None = None

    def close(self) -> None:
        """Drop what has come, and llhttp, which refers back to the parser.

        No garbage collection is needed then.
        """
        self._llhttp = None
        self._pieces.clear()

    def take_body(self) -> bytes:
        """The body, which is not kept here: the connection may stay idle for long."""
        pieces, self._pieces = self._pieces, []
        self._kept.clear()
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
            TransportError: `protocol` or `too_large`.
        """
        is_first = self._is_fresh and bool(data)
        self._is_fresh = self._is_fresh and not data
        if is_first and data[:1].strip(_FIRST_BYTES):
            raise _malformed("not a valid HTTP/1.1 response: it does not begin with HTTP/1")
        self.received += len(data)
        if self.complete:
            self._refuse_excess(data)
        elif self._is_relaxed:
            self._feed_relaxed(data)
        else:
            self._feed_llhttp(data)
        if self._oddity:
            raise _malformed(self._oddity)
        if self._size > self._max_body:
            raise _too_large(f"the response body is larger than {self._max_body} bytes")
        if self.received > MAX_HEAD + self._size * (1 + _MOST_OVERHEAD_PER_BYTE):
            what = "framing" if self._has_head else "head"
            raise _too_large(f"the {what} of the response is larger than {MAX_HEAD} bytes")
        if self._is_unusual and self._has_head:
            self._check_unusual()
        if is_first and self.complete and self.keep_alive and self._heads and self._is_plain():
            self._heads.remember(data, self.status, self.headers, self._size)
        return self.complete

    def _check_unusual(self) -> None:
        """Check what few responses have: a transfer coding, or the version 1.0."""
        if self._coding not in (b"", b"chunked"):
            raise _malformed("a transfer coding other than chunked")
        if self._is_old:
            # Chunks are not of it (RFC 9112, section 6.1), and llhttp sees keep-alive only.
            self.keep_alive = self.keep_alive and not self._coding and not self._says_close()

    def _says_close(self) -> bool:
        hints = b",".join(value for name, value in self.headers if name == b"connection")
        return b"close" in map(bytes.strip, hints.lower().split(b","))

    def _is_plain(self) -> bool:
        """Whether the length alone says where the response ends, however it is looked at."""
        lengths = [value for name, value in self.headers if name == b"content-length"]
        is_said = lengths == [b"%d" % self._size]
        is_regular = not self._interims and not self._is_relaxed
        return is_said and is_regular and not self._coding and not self._is_head

    def _feed_llhttp(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._oddity = _SWITCHES
        except httptools.HttpParserError as exc:
            if self.complete:
                self._oddity = _EXCESS
            elif not self._has_head:
                self._read_head_again(data, exc)
            elif self._coding == b"chunked":
                self._read_chunks_again(data)
            else:
                raise _malformed(f"not a valid HTTP/1.1 response: {exc}") from exc
        else:
            if self.complete:
                if self._is_head:  # llhttp does not know that, and waits for a body
                    self._refuse_excess(self._after_head(data))
            elif self._coding == b"chunked" or not self._has_head:
                if self._has_head and self.received > _MOST_KEPT:
                    self._read_chunks_again(data)
                else:
                    self._kept.append(data)

    def _refuse_excess(self, data: bytes) -> None:
        """Refuse what comes after the end, but for empty lines, which some servers send.

        After the head of a response to HEAD they may be the beginning of a body.
        """
        if data if self._is_head else data.strip(_LINE_BREAKS):
            self._oddity = _EXCESS

    def _after_head(self, data: bytes) -> bytes:
        """What has come after a head that llhttp has accepted."""
        data = b"".join([*self._kept, data])
        at = 0
        for _ in range(self._interims + 1):
            while data[at] in _LINE_BREAKS:
                at += 1
            at = data.index(b"\r\n\r\n", at) + 4
        return data[at:]

    def _read_head_again(self, data: bytes, refusal: httptools.HttpParserError) -> None:
        """Read a head that llhttp refuses line by line, from its beginning."""
        data = b"".join([*self._kept, data])
        if b"\n" not in data and not may_go_on(data):
            raise _malformed(f"not a valid HTTP/1.1 response: {refusal}") from refusal
        self._is_relaxed = True
        self._head = Head()
        self._oddity = ""
        self._kept.clear()
        self._pieces.clear()
        self._size = 0
        self._feed_relaxed(data)

    def _read_chunks_again(self, data: bytes) -> None:
        """Read chunks from the first one on, after a head that llhttp has accepted."""
        body = self._after_head(data)
        self._kept.clear()
        self._pieces.clear()
        self._size = 0
        self._start_chunks()
        self._feed_relaxed(body)

    def _start_chunks(self) -> None:
        self._is_relaxed = self._llhttp_is_spent = True
        self._chunks = Chunks()

    def _feed_relaxed(self, data: bytes) -> None:
        try:
            while self._head and data:
                rest = self._head.feed(data)
                if rest is None:
                    return
                self._take_head(self._head)
                data = rest
            if not self._chunks:
                if self.complete:
                    self._refuse_excess(data)
                elif data:
                    self._llhttp.feed_data(data)
                return
            pieces, data = self._chunks.feed(data)
        except (httptools.HttpParserError, Malformed) as exc:
            if not self.complete:
                raise _malformed(f"not a valid HTTP/1.1 response: {exc}") from exc
            self._oddity = _EXCESS
            return
        for piece in pieces:
            self.on_body(piece)
        self._refuse_excess(data)
        if self._chunks.complete:
            self.complete = True
            self.keep_alive = self._llhttp.should_keep_alive()

    def _take_head(self, head: Head) -> None:
        """Have llhttp judge what a head says about the body, unless it is an interim one."""
        if head.status == 101:
            raise _malformed(_SWITCHES)
        if head.status < 200:
            self._head = Head()
            return
        self._head = None
        self._fields.clear()
        self._has_length = False
        self._coding = b""
        self._llhttp = httptools.HttpResponseParser(self)
        self._llhttp.feed_data(head.framing())
        self._fields[:] = head.fields
        if self._coding == b"chunked" and not self.complete:
            self._start_chunks()

    def feed_eof(self) -> bool:
        """The server has closed the connection, which may be the end of the response.

        Returns:
            That it is complete.

        Raises:
            TransportError: `protocol`; the response is cut short.
        """
        if not self._has_head or self._has_length or self._coding:
            where = "in the middle of" if self.received else "before"
            message = f"the server closed the connection {where} the response"
            raise TransportError("protocol", message, sent=True, transient=True)
        self.complete = True
        return True

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self._oddity = _EXCESS

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return  # a trailer
        name = name.lower()
        if name == b"content-length":
            self._has_length = True
        elif name == b"transfer-encoding":
            self._coding = value.strip().lower() if not self._coding else b"several"
            self._is_unusual = True
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._llhttp.get_status_code()
        version = self._llhttp.get_http_version()
        if version != "1.1" or self.status < 100:
            self._is_unusual = self._is_old = True
            if version != "1.0" or self.status < 100:
                self._oddity = "not a valid HTTP/1.1 response: unknown version or status"
        if self.status >= 200:
            self._has_head = True
            if self._is_head:
                self.complete = True
                self.keep_alive = self._llhttp.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self._oddity = _EXCESS
        elif not self._has_head:  # llhttp knows some interim responses only
            raise Malformed("an interim response has no body")
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self._has_head:
            self.complete = True
            self.keep_alive = self._llhttp.should_keep_alive()
        else:  # an interim response (RFC 9110, section 15.2)
            self._fields.clear()
            self._interims += 1
            self._has_length = False
            self._coding = b""


def _malformed(message: str) -> TransportError:
    return TransportError("protocol", message, sent=True)


def _too_large(message: str) -> TransportError:
    return TransportError("too_large", message, sent=True)

"""A parser that turns bytes into responses: HTTP/1.1 framing (RFC 9112, section 6), without I/O.

llhttp, in its strict mode, knows the syntax and rejects what is ambiguous: several lengths or
malformed ones, a length together with chunks, bad chunks.  This module adds what llhttp cannot
know: which request is being answered (a response to HEAD has no body), that nobody asked for bytes
after the end, when a close is the end of a response and when it is a loss, and how much is too
much.

llhttp also rejects what is odd but unambiguous, and accepted by other clients.  So a head that it
refuses is read again by `relaxed`, and so are chunks.  Nothing can take over from llhttp in the
middle of a body: the bytes of a chunked response are kept, and `relaxed` reads the response from
its first chunk once there are too many to keep.
"""

from __future__ import annotations

import httptools
from mypy_extensions import mypyc_attr

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.native.head_cache import CachedHead, ResponseHeadCache
from tmux_fanout.transports.native.message import EXCESS, INVALID, IncomingResponse
from tmux_fanout.transports.native.relaxed import (
    LINE_BREAKS,
    ChunkReader,
    HeadReader,
    Malformed,
    after_heads,
    may_become_valid,
)

MAX_HEAD = 64 << 10
_MAX_KEPT = 64 << 10  # bytes of a chunked response, as received
# A chunk of one byte has five bytes of framing.  Beyond this, a sender wastes bytes on purpose.
_MAX_OVERHEAD_PER_BYTE = 8
# llhttp also accepts responses of RTSP and ICE, and any version of HTTP.
_FIRST_BYTES = b"H\r\n"
_SWITCHES = "the server switches protocols without being asked"


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseParser:
    """Parses the responses of one connection, one after another.

    Args:
        max_body: limit on the bytes of a body, before content codings are undone.
        heads: cached heads, or None to parse every response.
        keeps_body: whether the body is wanted.

    Attributes:
        message: the response that is being received.
        received: bytes received of it.
    """

    def __init__(
        self, max_body: int, heads: ResponseHeadCache | None = None, *, keeps_body: bool = True
    ) -> None:
        self._max_body = max_body
        self._heads = heads
        self.message = IncomingResponse(keeps_body=keeps_body)
        self.received = 0
        self._is_fresh = True
        self._llhttp_is_spent = False
        self._kept: list[bytes] = []
        self._is_relaxed = False
        self._head_reader: HeadReader | None = None
        self._chunk_reader: ChunkReader | None = None

    def __repr__(self) -> str:
        state = "complete" if self.message.complete else "unfinished"
        return f"<ResponseParser: {state}, {self.received} bytes received>"

    def start(self, method: str) -> None:
        """Expect the response to a request with this method."""
        answers_head = method == "HEAD"
        if self._is_fresh and self.message.answers_head == answers_head:
            return
        if self._llhttp_is_spent:
            self.message.restart_llhttp()
        self.message.clear(answers_head=answers_head)
        self.received = 0
        self._is_fresh = True
        self._llhttp_is_spent = answers_head
        self._kept.clear()
        self._is_relaxed = False
        self._head_reader = None
        self._chunk_reader = None

    def close(self) -> None:
        """Drop what was received."""
        self.message.close()

    def take_body(self) -> bytes:
        """Return the body and forget it, as the connection may be idle for long."""
        self._kept.clear()
        return self.message.take_body()

    def recognise(self, data: bytes) -> CachedHead | None:
        """Return the cached head of `data` if this is a whole, acceptable response.

        The state of the parser does not change.
        """
        if not self._is_fresh or self._heads is None or self.message.answers_head:
            return None
        head = self._heads.find(data)
        return None if head is None or head.length > self._max_body else head

    def feed(self, data: bytes) -> bool:
        """Parse received bytes.  Return whether the response is complete.

        Raises:
            TransportError: `protocol` or `too_large`.
        """
        is_first = self._is_fresh and bool(data)
        self._is_fresh = self._is_fresh and not data
        if is_first and data[:1].strip(_FIRST_BYTES):
            raise _malformed(f"{INVALID}: it does not begin with HTTP/1")
        self.received += len(data)
        message = self.message
        if message.complete:
            self._refuse_excess(data)
        elif self._is_relaxed:
            self._feed_relaxed(data)
        else:
            self._feed_llhttp(data)
        if message.error:
            raise _malformed(message.error)
        if message.size > self._max_body:
            raise _too_large(f"the response body is larger than {self._max_body} bytes")
        if self.received > MAX_HEAD + message.size * (1 + _MAX_OVERHEAD_PER_BYTE):
            what = "framing" if message.has_head else "head"
            raise _too_large(f"the {what} of the response is larger than {MAX_HEAD} bytes")
        if message.is_unusual and message.has_head:
            message.check_unusual()
        if is_first and message.complete and message.keep_alive:
            self._cache_head(data)
        return message.complete

    def _cache_head(self, data: bytes) -> None:
        message = self.message
        if self._heads and message.is_regular and not self._is_relaxed:
            self._heads.add(data, message.status, message.headers, message.size)

    def feed_eof(self) -> bool:
        """Note that the server has closed the connection, which may end the response.

        Returns:
            True: the response is complete.

        Raises:
            TransportError: `protocol`; the response is cut short.
        """
        if not self.message.ends_with_stream:
            where = "in the middle of" if self.received else "before"
            text = f"the server closed the connection {where} the response"
            raise TransportError("protocol", text, sent=True, transient=True)
        self.message.complete = True
        return True

    def _feed_llhttp(self, data: bytes) -> None:
        message = self.message
        try:
            message.llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:
            message.error = _SWITCHES
        except httptools.HttpParserError as exc:
            if message.complete:
                message.error = EXCESS
            elif not message.has_head:
                self._read_head_again(data, exc)
            elif message.coding == b"chunked":
                self._read_chunks_again(data)
            else:
                raise _malformed(f"{INVALID}: {exc}") from exc
        else:
            if message.complete:
                if message.answers_head:  # llhttp does not know this, and waits for a body
                    self._refuse_excess(after_heads(self._kept_and(data), message.interims + 1))
            elif message.coding == b"chunked" or not message.has_head:
                if message.has_head and self.received > _MAX_KEPT:
                    self._read_chunks_again(data)
                else:
                    self._kept.append(data)

    def _kept_and(self, data: bytes) -> bytes:
        return b"".join([*self._kept, data])

    def _refuse_excess(self, data: bytes) -> None:
        """Refuse bytes after the end, except for the empty lines that some servers send.

        After the head of a response to HEAD, even these may be the beginning of a body.
        """
        if data if self.message.answers_head else data.strip(LINE_BREAKS):
            self.message.error = EXCESS

    def _read_head_again(self, data: bytes, refusal: httptools.HttpParserError) -> None:
        """Read a head that llhttp refuses line by line, from its beginning."""
        data = self._kept_and(data)
        if b"\n" not in data and not may_become_valid(data):
            raise _malformed(f"{INVALID}: {refusal}") from refusal
        self._is_relaxed = True
        self._head_reader = HeadReader()
        self.message.error = ""
        self._feed_again(data)

    def _read_chunks_again(self, data: bytes) -> None:
        """Read chunks from the first one on, after a head that llhttp has accepted."""
        body = after_heads(self._kept_and(data), self.message.interims + 1)
        self._start_chunks()
        self._feed_again(body)

    def _start_chunks(self) -> None:
        self._is_relaxed = self._llhttp_is_spent = True
        self._chunk_reader = ChunkReader()

    def _feed_again(self, data: bytes) -> None:
        """Discard what llhttp made of these bytes, and read them without it."""
        self._kept.clear()
        self.message.clear_body()
        self._feed_relaxed(data)

    def _feed_relaxed(self, data: bytes) -> None:
        message = self.message
        try:
            while self._head_reader and data:
                rest = self._head_reader.feed(data)
                if rest is None:
                    return
                self._end_head(self._head_reader)
                data = rest
            if not self._chunk_reader:
                if message.complete:
                    self._refuse_excess(data)
                elif data:
                    message.llhttp.feed_data(data)
                return
            pieces, data = self._chunk_reader.feed(data)
        except (httptools.HttpParserError, Malformed) as exc:
            if not message.complete:
                raise _malformed(f"{INVALID}: {exc}") from exc
            message.error = EXCESS
            return
        for piece in pieces:
            message.on_body(piece)
        self._refuse_excess(data)
        if self._chunk_reader.complete:
            message.complete_now()

    def _end_head(self, head: HeadReader) -> None:
        if head.status == 101:
            raise _malformed(_SWITCHES)
        if head.status < 200:  # an interim response (RFC 9110, section 15.2)
            self._head_reader = HeadReader()
            return
        self._head_reader = None
        self.message.take_head(head)
        if self.message.coding == b"chunked" and not self.message.complete:
            self._start_chunks()


def _malformed(message: str) -> TransportError:
    return TransportError("protocol", message, sent=True)


def _too_large(message: str) -> TransportError:
    return TransportError("too_large", message, sent=True)

"""The embedded APIs as a real HTTP/1.1 server, so that the demo is a run like any other."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
import msgspec
import trio

from tmux_fanout.demo.apis import NAMES, Apis, Reply, Request

HOST = "127.0.0.1"

_MAX_REQUEST = 17 << 20  # bytes: the longest line that `run` accepts by default, and a head
_RECEIVE_SIZE = 64 << 10
_LINGER = 1.0  # seconds
# RFC 9110, section 15; the interpreter's own phrases change from version to version.
_REFUSALS = {
    HTTPStatus.NOT_IMPLEMENTED: "Not Implemented",
    HTTPStatus.BAD_REQUEST: "Bad Request",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
}


async def serve(
    port: int = 0, *, task_status: trio.TaskStatus[dict[str, str]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the APIs until cancelled; report their URLs by name once started.

    Args:
        port: to listen on, on loopback; 0 for any free one.
        task_status: gets the URLs.

    Raises:
        OSError: the port is not available.
    """
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    bound = listeners[0].socket.getsockname()[1]
    task_status.started({name: f"http://{HOST}:{bound}/{name}" for name in NAMES})
    await trio.serve_listeners(partial(_converse, Apis()), listeners)


class _RequestParser:
    """Parses bytes into requests.  Once `refusal` is set, no more can be parsed."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusal: HTTPStatus | None = None
        self._llhttp: Any = httptools.HttpRequestParser(self)
        self.on_message_begin()

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade:  # llhttp leaves the body, if any, to the other protocol
            self.requests.pop()
            self.refusal = HTTPStatus.NOT_IMPLEMENTED
        except httptools.HttpParserError:
            self.refusal = HTTPStatus.BAD_REQUEST
        if self._size > _MAX_REQUEST:
            self.refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    # Callbacks of llhttp.

    def on_message_begin(self) -> None:
        self._target = b""
        self._key = b""
        self._pieces: list[bytes] = []
        self._size = 0

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"apikey":
            self._key = value

    def on_body(self, part: bytes) -> None:
        self._pieces.append(part)

    def on_message_complete(self) -> None:
        method, keep_alive = self._llhttp.get_method(), self._llhttp.should_keep_alive()
        body = b"".join(self._pieces)
        self.requests.append(Request(method, self._target, body, keep_alive, self._key))
        self._size = 0


async def _converse(apis: Apis, stream: trio.SocketStream) -> None:
    """Answer the requests on a connection until either side closes it."""
    try:
        await _answer_all(apis, stream)
        # Closing while the client is sending would reset the connection and lose the last reply.
        await stream.send_eof()
        with trio.move_on_after(_LINGER):
            while await stream.receive_some(_RECEIVE_SIZE):
                pass
    except trio.BrokenResourceError:
        pass  # the client has gone


async def _answer_all(apis: Apis, stream: trio.SocketStream) -> None:
    parser = _RequestParser()
    while not parser.refusal and (data := await stream.receive_some(_RECEIVE_SIZE)):
        parser.feed(data)
        for request in parser.requests:
            reply = apis.answer(request, trio.current_time())
            await trio.sleep(reply.delay)
            await stream.send_all(_encode(reply, request.method, request.keep_alive))
            if not request.keep_alive:
                return
        parser.requests.clear()
    if parser.refusal:
        reply = Reply(parser.refusal, {"error": _REFUSALS[parser.refusal]})
        await stream.send_all(_encode(reply, b"", keep_alive=False))


def _encode(reply: Reply, method: bytes, keep_alive: bool) -> bytes:
    body = msgspec.json.encode(reply.value)
    head = (
        f"HTTP/1.1 {reply.status.value} \r\n"  # no phrase, which nobody may rely on: RFC 9112, 4
        f"Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{reply.headers}"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if method == b"HEAD" else body)

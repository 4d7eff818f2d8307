"""What the `demo` command needs of its own: sample records, and three HTTP APIs on loopback.

The APIs are real HTTP/1.1 servers, so that the demo takes the way that any run takes.  All three
are paths on one listener and take any method:

    /fast    how many words the message has, at once
    /slow    the first words of the message, after 50 to 250 ms
    /flaky   the severity of the level (RFC 5424); for about every fifth body the first answer is
             503 with Retry-After: 1

Everything depends on the request alone, never on chance, so a demo goes the same way each time.
"""

from __future__ import annotations

import zlib
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import httptools
import msgspec
import trio

HOST = "127.0.0.1"
NAMES = ("fast", "slow", "flaky")

_MOST_BYTES = 17 << 20  # of one request: the longest line that `run` takes by default, and a head
_RECEIVE_SIZE = 64 << 10
_LINGER = 1.0
_SHORTEST_DELAY, _LONGEST_DELAY = 50, 250  # milliseconds
_REFUSED_IN = 5
_RETRY_AFTER = 1
_SEVERITIES = {"error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
_SUMMARY_WORDS = 4

_LOG = """\
08:59:58 notice server started, 4 workers, 12 routes
09:00:01 info GET / 200 in 3 ms
09:00:01 info GET /static/site.css 200 in 1 ms
09:00:02 info GET /static/logo.svg 304 in 1 ms
09:00:04 info GET /search?q=teapot 200 in 48 ms
09:00:07 debug cache miss for key search:teapot
09:00:09 info GET /items/118 200 in 12 ms
09:00:11 warning GET /items/9999999 404 in 6 ms
09:00:12 info POST /basket 201 in 22 ms
09:00:15 info GET /basket 200 in 9 ms
09:00:16 error POST /checkout 500 in 131 ms: payment gateway did not answer
09:00:17 warning payment gateway: attempt 2 of 3
09:00:18 info POST /checkout 303 in 640 ms
09:00:18 info GET /orders/40213 200 in 14 ms
09:00:21 debug session 7c1e renewed for 30 minutes
09:00:24 info GET /robots.txt 200 in 1 ms
09:00:25 warning 14 requests in one second from 192.0.2.77, slowing it down
09:00:25 info GET /items/1 429 in 1 ms
09:00:26 info GET /items/2 429 in 1 ms
09:00:30 notice configuration read again, nothing has changed
09:00:33 info GET /search?q=gl%C3%BChwein 200 in 57 ms
09:00:34 info GET /items/204 200 in 11 ms
09:00:36 error template items.html: no such field: prize
09:00:36 error GET /items/205 500 in 18 ms
09:00:38 info GET /health 200 in 1 ms
09:00:41 warning database pool: 19 of 20 connections in use
09:00:42 warning slow query, 1,204 ms: orders by customer
09:00:43 info GET /account/orders 200 in 1311 ms
09:00:47 info DELETE /basket/118 204 in 8 ms
09:00:48 debug cache hit for key search:teapot
09:00:49 info GET /search?q=teapot 200 in 2 ms
09:00:52 error upload of 31 MB refused: more than 25 MB
09:00:52 info POST /account/photo 413 in 3 ms
09:00:55 notice certificate is valid for 20 more days
09:00:57 info GET /items/118 200 in 10 ms
09:00:59 warning worker 3 was silent for 5 s
09:01:00 error worker 3 ended by signal 9, starting another
09:01:01 notice worker 5 started
09:01:03 info GET /health 200 in 1 ms
09:01:04 info GET / 200 in 4 ms
"""


def _record(number: int, line: str) -> bytes:
    time, level, message = line.split(" ", 2)
    fields = {"line": number, "time": f"2026-03-02T{time}Z", "level": level, "message": message}
    return msgspec.json.encode(fields)


RECORDS = tuple(_record(number, line) for number, line in enumerate(_LOG.splitlines(), 1))
"""Sample log records, each one line of JSONL without its line break."""


async def serve(
    port: int = 0, *, task_status: trio.TaskStatus[dict[str, str]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the APIs until cancelled; starts with a dict of their names and URLs.

    Args:
        port: where to listen on loopback; 0 is any free port.

    Raises:
        OSError: the port is not to be had.
    """
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    bound = listeners[0].socket.getsockname()[1]
    task_status.started({name: f"http://{HOST}:{bound}/{name}" for name in NAMES})
    await trio.serve_listeners(partial(_converse, Apis()), listeners)


class Request(NamedTuple):
    method: bytes
    target: bytes
    body: bytes
    keep_alive: bool


class Reply(NamedTuple):
    """What to answer, and after how many seconds."""

    status: HTTPStatus
    value: dict[str, Any]
    delay: float = 0.0
    headers: str = ""


class Apis:
    """Decides what to answer.  A body is refused once a minute at most: a call with the default
    timeout is never refused three times, and what is remembered stays bounded.
    """

    _MEMORY = 60.0

    def __init__(self) -> None:
        self._refused: dict[int, float] = {}  # when, by checksum of the request; oldest first

    def __repr__(self) -> str:
        return f"<Apis: {len(self._refused)} requests refused of late>"

    def answer(self, request: Request, now: float) -> Reply:
        """The reply to a request at the time `now`, in seconds."""
        path = request.target.partition(b"?")[0]
        seed = zlib.crc32(request.target + request.body)
        level, text = _read(request.body)
        if path == b"/fast":
            return Reply(HTTPStatus.OK, {"words": len(text.split())})
        if path == b"/slow":
            delay = _SHORTEST_DELAY + seed % (_LONGEST_DELAY - _SHORTEST_DELAY + 1)
            return Reply(HTTPStatus.OK, {"summary": _summary(text)}, delay / 1000)
        if path == b"/flaky":
            if seed % _REFUSED_IN == 0 and self._refuse(seed, now):
                value, header = {"error": "try again later"}, f"Retry-After: {_RETRY_AFTER}\r\n"
                return Reply(HTTPStatus.SERVICE_UNAVAILABLE, value, headers=header)
            return Reply(HTTPStatus.OK, {"severity": _SEVERITIES.get(level, 6)})
        return Reply(HTTPStatus.NOT_FOUND, {"error": f"no API here; there are {', '.join(NAMES)}"})

    def _refuse(self, seed: int, now: float) -> bool:
        while self._refused and next(iter(self._refused.values())) <= now - self._MEMORY:
            del self._refused[next(iter(self._refused))]
        return self._refused.setdefault(seed, now) == now


class _Log(msgspec.Struct):
    message: str
    level: str = ""


def _read(body: bytes) -> tuple[str, str]:
    """Level and message of a log record; anything else is a message itself."""
    try:
        log = msgspec.json.decode(body, type=_Log | str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", body.decode(errors="replace")
    return (log.level, log.message) if isinstance(log, _Log) else ("", log)


def _summary(text: str) -> str:
    words = text.split()
    return " ".join(words[:_SUMMARY_WORDS]) + (" ..." if len(words) > _SUMMARY_WORDS else "")


class _RequestParser:
    """Bytes into requests.  Once `refusal` is set, nothing more can be understood."""

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
        if self._size > _MOST_BYTES:
            self.refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._target = b""
        self._pieces: list[bytes] = []
        self._size = 0

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_body(self, part: bytes) -> None:
        self._pieces.append(part)

    def on_message_complete(self) -> None:
        method, keep_alive = self._llhttp.get_method(), self._llhttp.should_keep_alive()
        self.requests.append(Request(method, self._target, b"".join(self._pieces), keep_alive))
        self._size = 0


async def _converse(apis: Apis, stream: trio.SocketStream) -> None:
    """Answer what comes on one connection, until either side is through with it."""
    try:
        await _answer_all(apis, stream)
        # Closing while the client is sending would reset the connection and lose the last answer.
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
        reply = Reply(parser.refusal, {"error": parser.refusal.phrase})
        await stream.send_all(_encode(reply, b"", keep_alive=False))


def _encode(reply: Reply, method: bytes, keep_alive: bool) -> bytes:
    body = msgspec.json.encode(reply.value)
    head = (
        f"HTTP/1.1 {reply.status.value} {reply.status.phrase}\r\n"
        f"Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{reply.headers}"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
    )
    return head.encode() + (b"" if method == b"HEAD" else body)

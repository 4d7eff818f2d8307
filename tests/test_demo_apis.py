"""The APIs that the `demo` command starts."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from itertools import groupby
from typing import Any

import httptools
import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Origin, RequestHead, Response
from tmux_fanout.core.http.messages import Request as ClientRequest
from tmux_fanout.core.http.rate_headers import parse_retry_after
from tmux_fanout.demo import RECORDS, serve
from tmux_fanout.demo.apis import NAMES, Apis, Request
from tmux_fanout.transports.native import NativeTransport

REFUSED = next(
    record
    for record in RECORDS
    if Apis().answer(Request(b"POST", b"/flaky", record, True), 0.0).status == 503
)
SECONDS = 60.0  # far longer than any exchange here takes


@pytest.fixture
async def port(nursery: trio.Nursery) -> int:
    """Start the server, and return its port."""
    urls: dict[str, str] = await nursery.start(serve)
    return int(urls["fast"].split(":")[2].split("/")[0])


@pytest.fixture
async def stream(port: int) -> AsyncIterator[trio.SocketStream]:
    """Open a connection to the server."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield stream


class Attempt:
    """A stand-in for the engine's attempt, which a transport fills in."""

    sent = False
    fresh = False
    connected_at = 0.0
    first_byte_at = 0.0


class Replies:
    """Parses the responses on one connection."""

    def __init__(self) -> None:
        self.complete: list[tuple[int, dict[str, Any]]] = []
        self.headers: dict[bytes, bytes] = {}
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body = b""

    async def read(self, stream: trio.SocketStream, count: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the next `count` responses as pairs of status and value."""
        with trio.fail_after(SECONDS):
            while len(self.complete) < count:
                data = await stream.receive_some()
                assert data, "closed before the reply"
                self._parser.feed_data(data)
        taken, self.complete = self.complete, []
        return taken

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        self.complete.append((status, msgspec.json.decode(self._body)))
        self._body = b""


def wire(path: str, body: bytes = b"", method: str = "POST", *headers: str) -> bytes:
    """Return an HTTP/1.1 request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def assert_closed(stream: trio.SocketStream) -> None:
    with trio.fail_after(SECONDS):
        assert await stream.receive_some() == b""


async def post(transport: NativeTransport, port: int, path: str, body: bytes) -> Response:
    origin = Origin("http", "127.0.0.1", port)
    head = RequestHead("POST", origin, path, (("Host", origin.authority),))
    with trio.fail_after(SECONDS):
        return await transport.send(ClientRequest(head, body), Attempt())


def new_transport() -> NativeTransport:
    api = Api("demo", "http://127.0.0.1/", connect_timeout=SECONDS)
    return NativeTransport(plan_run([api], RunSettings(), {}).apis[0], None)


# The sample records, and the decision on a request.


def test_records_are_distinct_log_records_on_one_line() -> None:
    """Each sample is a one-line JSON object with the four fields, and no two are equal."""
    fields = [msgspec.json.decode(record) for record in RECORDS]
    assert all(list(each) == ["line", "time", "level", "message"] for each in fields)
    assert [each["line"] for each in fields] == list(range(1, len(RECORDS) + 1))
    assert len(set(RECORDS)) == len(RECORDS)
    assert not any(b"\n" in record for record in RECORDS)


def test_flaky_refuses_some_records_but_never_five_in_a_row() -> None:
    """The flaky API causes retries without opening a breaker at its default threshold."""
    apis = Apis()
    statuses = [apis.answer(Request(b"POST", b"/flaky", r, True), 0.0).status for r in RECORDS]
    runs = [len(list(run)) for status, run in groupby(statuses) if status == 503]
    assert len(RECORDS) / 10 < sum(runs) < len(RECORDS) / 3
    assert max(runs) < 5


@pytest.mark.parametrize(
    ("now", "status"),
    [(0.0, 503), (0.001, 200), (1.0, 200), (59.9, 200), (60.0, 503), (61.0, 200), (119.0, 200)],
)
def test_flaky_refuses_a_body_at_most_once_a_minute(now: float, status: int) -> None:
    """The flaky API refuses a body at most once a minute, so retries succeed."""
    apis = Apis()
    request = Request(b"POST", b"/flaky", REFUSED, True)
    replies = [apis.answer(request, at) for at in (0.0, 60.0) if at < now]
    assert all(reply.status == HTTPStatus.SERVICE_UNAVAILABLE for reply in replies)
    assert apis.answer(request, now).status == status


def test_flaky_forgets_old_refusals() -> None:
    """The flaky API's memory does not grow with the number of requests."""
    apis = Apis()
    for second in range(1000):
        apis.answer(Request(b"POST", b"/flaky", b"%d" % second, True), float(second))
    assert 1 <= int(repr(apis).split()[1]) <= 60


@pytest.mark.parametrize(
    ("path", "body", "value"),
    [
        (b"/fast", b'{"level":"info","message":"one two three"}', {"words": 3}),
        (b"/fast", b'"a line of text"', {"words": 4}),
        (b"/fast", b"no JSON \xff", {"words": 3}),
        (b"/fast", b'"\xff"', {"words": 1}),
        (b"/fast", b'{"message":5}', {"words": 1}),
        (b"/fast", b"[" * 100_000, {"words": 1}),
        (b"/fast?a=b", b"", {"words": 0}),
        (b"/slow", b'{"message":"a b c d"}', {"summary": "a b c d"}),
        (b"/slow", b'{"message":"a b c d e"}', {"summary": "a b c d ..."}),
        (b"/flaky", b'{"message":"","level":"error"}', {"severity": 3}),
        (b"/flaky", b'{"message":"","level":"else"}', {"severity": 6}),
        (b"/summarize", b'{"text":"a b c d e"}', {"summary": "a b c d ..."}),
        (b"/ner", b'{"text":"In Ulm, as Max said."}', {"entities": ["Ulm", "Max"]}),
        (b"/most_common_phrases", b'{"text":"a b, a B. c"}', {"phrases": ["a", "b"]}),
    ],
)
def test_answer_derives_from_the_request(path: bytes, body: bytes, value: dict[str, Any]) -> None:
    """Any body has a response that depends on the request alone."""
    reply = Apis().answer(Request(b"POST", path, body, True, b"key"), 0.0)
    assert (reply.status, reply.value) == (200, value)


def test_text_api_requires_a_key() -> None:
    """A text API refuses requests without a key."""
    reply = Apis().answer(Request(b"POST", b"/ner", b'{"text":"a"}', True), 0.0)
    assert (reply.status, reply.value) == (401, {"error": "no apikey header"})


def test_slow_takes_50_to_250_ms() -> None:
    """The slow API delays each response by 50 to 250 ms."""
    requests = [Request(b"POST", b"/slow", record, True) for record in RECORDS]
    delays = [Apis().answer(request, 0.0).delay for request in requests]
    assert min(delays) >= 0.05
    assert max(delays) <= 0.25
    assert len(set(delays)) > 10


# The server.


async def test_serve_reports_a_url_for_each_api(nursery: trio.Nursery) -> None:
    """`started` receives the URL of each API."""
    urls = await nursery.start(serve)
    assert tuple(urls) == NAMES
    assert all(url.startswith("http://127.0.0.1:") for url in urls.values())


async def test_serve_raises_if_the_port_is_in_use(nursery: trio.Nursery, port: int) -> None:
    """A requested port that is in use raises OSError."""
    with pytest.raises(OSError, match="in use"):
        await nursery.start(serve, port)


async def test_native_transport_gets_every_response(port: int) -> None:
    """Every record gets a response from every API; a refused one succeeds after its pause."""
    transport = new_transport()
    replies: dict[str, list[Response]] = {f"/{name}": [] for name in NAMES}

    async def call(path: str, record: bytes) -> None:
        replies[path].append(await post(transport, port, path, record))

    async with trio.open_nursery() as nursery:
        for path in replies:
            for record in RECORDS:
                nursery.start_soon(call, path, record)
    assert {reply.status for path in ("/fast", "/slow") for reply in replies[path]} == {200}
    refused = [reply for reply in replies["/flaky"] if reply.status == 503]
    assert refused
    assert {parse_retry_after(r.header(b"retry-after") or b"", 0.0) for r in refused} == {1.0}
    assert (await post(transport, port, "/flaky", REFUSED)).status == 200
    await transport.aclose()


async def test_connection_is_kept_for_the_next_request(stream: trio.SocketStream) -> None:
    """A connection is kept after errors and for pipelined requests."""
    replies = Replies()
    await stream.send_all(wire("/fast", b"one two"))
    assert await replies.read(stream, 1) == [(200, {"words": 2})]
    await stream.send_all(wire("/nowhere"))
    [(status, value)] = await replies.read(stream, 1)
    assert status == 404
    assert "error" in value
    await stream.send_all(wire("/slow", b"a b") + wire("/fast", b"c") + wire("/fast", b"", "GET"))
    expected = [(200, {"summary": "a b"}), (200, {"words": 1}), (200, {"words": 0})]
    assert await replies.read(stream, 3) == expected
    assert replies.headers[b"content-type"] == b"application/json"


async def test_request_may_come_in_any_pieces(stream: trio.SocketStream) -> None:
    """A request may arrive one byte at a time."""
    for byte in wire("/fast?q=1", b"one two"):
        await stream.send_all(bytes([byte]))
    assert await Replies().read(stream, 1) == [(200, {"words": 2})]


async def test_last_request_is_answered_before_the_close(stream: trio.SocketStream) -> None:
    """A request with `Connection: close` is answered before the connection closes."""
    await stream.send_all(wire("/fast", b"one", "POST", "Connection: close"))
    replies = Replies()
    assert await replies.read(stream, 1) == [(200, {"words": 1})]
    assert replies.headers[b"connection"] == b"close"
    await assert_closed(stream)


async def test_upgrade_is_refused(stream: trio.SocketStream) -> None:
    """An upgrade is refused with 501, and the connection closes."""
    upgrade = wire("/fast", b"one", "POST", "Connection: Upgrade", "Upgrade: h2c")
    await stream.send_all(wire("/fast", b"one two") + upgrade)
    replies = await Replies().read(stream, 2)
    assert replies == [(200, {"words": 2}), (501, {"error": "Not Implemented"})]
    await assert_closed(stream)


async def test_head_gets_no_body(stream: trio.SocketStream) -> None:
    """A HEAD response has no body, which would look like the next response."""
    await stream.send_all(wire("/fast", b"", "HEAD", "Connection: close"))
    data = b""
    with trio.fail_after(SECONDS):
        async for part in stream:
            data += part
    assert data.startswith(b"HTTP/1.1 200 \r\n")
    assert data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"hello\r\n\r\n",
        b"POST /fast HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /fast HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_garbage_gets_400_and_a_close(stream: trio.SocketStream, garbage: bytes) -> None:
    """Earlier requests are answered; garbage gets 400, and the connection closes."""
    await stream.send_all(wire("/fast", b"one") + garbage)
    replies = await Replies().read(stream, 2)
    assert replies == [(200, {"words": 1}), (400, {"error": "Bad Request"})]
    await assert_closed(stream)


@pytest.mark.parametrize(
    "start",
    [b"POST /fast HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"GET / HTTP/1.1\r\nA: "],
    ids=["body", "head"],
)
async def test_endless_request_gets_413(stream: trio.SocketStream, start: bytes) -> None:
    """An endless request is not buffered, and its 413 is not lost to a reset."""
    await stream.send_all(start)
    piece = b"x" * (1 << 20)
    for _ in range(18):
        await stream.send_all(piece)
    assert await Replies().read(stream, 1) == [(413, {"error": "Content Too Large"})]


async def test_client_that_disconnects_affects_no_other(port: int) -> None:
    """Clients that disconnect or reset at any point do not affect other clients."""
    unfinished = b"POST /fast HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"
    for sent in (b"", unfinished, wire("/fast", b"x") * 100, wire("/slow", b"x") * 3):
        for reset in (False, True):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(sent)
            await wait_all_tasks_blocked()
            if reset:
                linger = struct.pack("ii", 1, 0)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await stream.aclose()
    transport = new_transport()
    assert (await post(transport, port, "/fast", b"still there")).body == b'{"words":2}'
    await transport.aclose()


async def test_cancellation_stops_the_server_at_once() -> None:
    """Cancellation closes every connection, whatever its state, and frees the port."""
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(serve)
        port = int(urls["slow"].split(":")[2].split("/")[0])
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        await streams[0].send_all(wire("/slow", b"x"))
        await streams[1].send_all(b"POST")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    for stream in streams:
        with suppress(trio.BrokenResourceError):
            await assert_closed(stream)
        await stream.aclose()
    transport = new_transport()
    with pytest.raises(TransportError, match="cannot connect"):
        await post(transport, port, "/fast", b"")
    await transport.aclose()

"""HTTP/2 servers that refuse requests on this connection, at this time, or in this version.

Only what was not processed may be repeated with any method (RFC 9113, sections 6.8, 7 and 8.7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.errors
import pytest
import trio
from support.client import classify, request_head
from support.http2 import Stream, http2
from support.http2_frames import OK, data, frame, frames, goaway, head, reset, setting
from support.server import Peer, Script, echo
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.http2.protocol import client_connection, header_list

Code = h2.errors.ErrorCodes
MAX_STREAMS, INITIAL_WINDOW, HEADER_TABLE = 3, 4, 1
LAST = 2**31 - 1

Open = Callable[..., Any]


def flushing(*parts: Callable[[int], bytes]) -> Callable[[Stream], Any]:
    """Return a handler that writes bytes made from the stream's number, one part at a time."""

    async def handler(stream: Stream) -> None:
        for part in parts:
            await stream.link.flush(part(stream.number))
            await wait_all_tasks_blocked()

    return handler


ENDS = {
    "refused": ([lambda n: reset(n, Code.REFUSED_STREAM)], False),
    "refused, begun": ([lambda n: head(n, OK) + reset(n, Code.REFUSED_STREAM)], True),
    "refused, after an interim head": (
        [lambda n: head(n, [(":status", "103")]) + reset(n, Code.REFUSED_STREAM)],
        False,
    ),
    "calm": ([lambda n: reset(n, Code.ENHANCE_YOUR_CALM)], True),
    "no error": ([lambda n: reset(n, Code.NO_ERROR)], True),
    "no error, begun": ([lambda n: head(n, OK) + reset(n, Code.NO_ERROR)], True),
    "unknown code": ([lambda n: frame(3, n, b"\xff\xff\xff\xff")], True),
    "goaway below": ([lambda n: goaway(n - 1)], False),
    "goaway at": ([lambda n: goaway(n, Code.INTERNAL_ERROR)], True),
    "goaway below, calm": ([lambda n: goaway(n - 1, Code.ENHANCE_YOUR_CALM)], False),
    "goaway at, calm": ([lambda n: goaway(n, Code.ENHANCE_YOUR_CALM)], True),
    "goaway in two steps": ([lambda n: goaway(LAST), lambda n: goaway(n - 1)], False),
    "goaway in two steps at once": ([lambda n: goaway(LAST) + goaway(n - 1)], False),
    "goaway below and a reset": ([lambda n: goaway(n - 1) + reset(n, Code.CANCEL)], False),
    "a reset and goaway below": ([lambda n: reset(n, Code.CANCEL) + goaway(n - 1)], False),
    "goaway below and a reset, begun": (
        [lambda n: head(n, OK) + goaway(n - 1) + reset(n, Code.CANCEL)],
        True,
    ),
    "goaway at and a reset": ([lambda n: goaway(n) + reset(n, Code.CANCEL)], True),
    "goaway with words": (
        [lambda n: frame(7, 0, (n - 1).to_bytes(4, "big") + bytes(4) + b"max_age")],
        False,
    ),
}


@pytest.mark.parametrize("case", ENDS)
async def test_send_knows_what_was_not_processed(connect: Open, case: str) -> None:
    """See golang/go#20985, curl/curl#804 and nodejs/undici#5598 for REFUSED_STREAM, and
    dotnet/corefx#39013 for GOAWAY.
    """
    parts, sent = ENDS[case]
    _, client = await connect(http2(flushing(*parts)))
    error = await client.failure("POST", b"{}") if sent else await _unsent(client)
    assert error.kind == "protocol"
    assert error.transient
    assert error.sent == sent


async def _unsent(client: Any) -> Any:
    with pytest.raises(Exception, match="server") as caught:
        await client.send("POST", b"{}")
    return caught.value


@pytest.mark.parametrize("code", [Code.ENHANCE_YOUR_CALM, Code.INTERNAL_ERROR])
async def test_send_is_not_stale_where_a_server_has_had_enough(connect: Open, code: Code) -> None:
    """A stale request is repeated at once, which was an endless loop in curl/curl#5119."""

    async def handler(stream: Stream) -> None:
        if stream.number == 1:
            await stream.answer(b"ok")
        else:
            await stream.link.flush(goaway(1, code))

    _, client = await connect(http2(handler))
    await client.send("POST", b"{}")
    error = await _unsent(client)
    assert classify(error) == ("protocol", "transient")
    assert code.name.lower().replace("_", " ") in str(error)


@pytest.mark.parametrize("steps", [[LAST], [LAST, 7], [7]])
async def test_send_finishes_what_a_goodbye_leaves(connect: Open, steps: list[int]) -> None:
    """The two steps are in netty/netty#3564 and line/armeria#1346; neither loses a request."""
    streams: list[Stream] = []
    answers: list[bytes] = []

    async def handler(stream: Stream) -> None:
        streams.append(stream)
        if len(streams) < 4:
            return
        for step in steps:
            await stream.link.flush(goaway(step))
            await wait_all_tasks_blocked()
        for other in streams[:4]:
            await other.answer(other.body)

    server, client = await connect(http2(handler))

    async def call(number: int) -> None:
        answers.append((await client.send("POST", b"%d" % number)).body)

    async with trio.open_nursery() as requests:
        for number in range(4):
            requests.start_soon(call, number)
    assert sorted(answers) == [b"0", b"1", b"2", b"3"]
    assert server.connections == 1
    await wait_all_tasks_blocked(0.001)
    assert server.open == 0


def wanting_http1(part: Callable[[int], bytes]) -> Script:
    """Return a script: refuse HTTP/2 with some bytes, but answer over HTTP/1.1."""

    async def script(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SSLStream)
        await peer.stream.do_handshake()
        speaks = http2(flushing(part)) if peer.stream.selected_alpn_protocol() == "h2" else echo
        await speaks(peer)

    return script


@pytest.mark.parametrize(
    "part",
    [
        lambda n: reset(n, Code.HTTP_1_1_REQUIRED),
        lambda n: goaway(n - 1, Code.HTTP_1_1_REQUIRED),
        lambda n: goaway(n - 1, Code.HTTP_1_1_REQUIRED) + reset(n, Code.HTTP_1_1_REQUIRED),
    ],
    ids=["stream", "connection", "both"],
)
async def test_send_goes_over_http1_where_the_server_wants_that(
    connect: Open, part: Callable[[int], bytes]
) -> None:
    """At once and from then on; see curl/curl#6862 and dotnet/runtime#133317."""
    server, client = await connect(wanting_http1(part))
    for number in range(3):
        assert (await client.send("POST", b"%d" % number)).body == b"%d" % number
        assert client.attempt.sent
    assert [request.method for request in server.requests] == ["POST"] * 3
    assert server.connections == 2


async def test_send_that_may_have_been_processed_does_not_go_over_http1(connect: Open) -> None:
    """Only the next request does."""
    server, client = await connect(wanting_http1(lambda n: goaway(n, Code.HTTP_1_1_REQUIRED)))
    error = await client.failure("POST", b"{}")
    assert error.sent
    assert classify(error) == ("protocol", "transient")
    assert (await client.send("POST", b"{}")).body == b"{}"
    assert len(server.requests) == 1


async def test_send_leaves_a_connection_that_is_not_for_it(connect: Open) -> None:
    """421: the next request gets another connection (RFC 9110, section 15.5.20)."""

    async def handler(stream: Stream) -> None:
        await stream.answer(b"no", status=421 if server.connections == 1 else 200)

    server, client = await connect(http2(handler))
    assert [(await client.send("POST", b"{}")).status for _ in range(3)] == [421, 200, 200]
    assert server.connections == 2


async def test_send_waits_for_a_server_that_takes_no_request_yet(connect: Open) -> None:
    """MAX_CONCURRENT_STREAMS of 0 lasts a short while; see akka/akka-http#774."""

    async def script(peer: Peer) -> None:
        await peer.send(setting(MAX_STREAMS, 0))
        await peer.some()
        await wait_all_tasks_blocked()
        await peer.send(setting(MAX_STREAMS, 1))
        async for kind, number, _ in frames(peer):
            if kind == 1:
                await peer.send(head(number, OK) + data(number, b"ok"))

    server, client = await connect(script)
    assert [(await client.send()).body for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1


async def test_send_fails_where_a_server_never_takes_a_request(connect: Open) -> None:
    """It counts as a failed connection: nothing is sent, and nothing is left."""

    async def script(peer: Peer) -> None:
        await peer.send(setting(MAX_STREAMS, 0))
        await peer.closed()

    server, client = await connect(script, connect_timeout=0.2)
    error = await client.failure("POST", b"{}")
    assert classify(error) == ("connect", "transient")
    assert not error.sent
    await wait_all_tasks_blocked(0.001)
    assert server.open == 0


async def test_send_keeps_to_a_limit_that_is_lowered(connect: Open) -> None:
    """Requests under way continue, the others go elsewhere; see dotnet/corefx#39005."""
    streams: list[Stream] = []
    answers: list[Response] = []
    done = trio.Event()

    async def handler(stream: Stream) -> None:
        if stream.link.peer.number:
            await stream.answer(b"ok")
            return
        streams.append(stream)
        if len(streams) == 3:
            await stream.link.flush(setting(MAX_STREAMS, 1))
            await done.wait()
            for other in streams:
                await other.answer(b"ok")

    server, client = await connect(http2(handler))

    async def call() -> None:
        answers.append(await client.send("POST", b"{}"))

    async with trio.open_nursery() as requests:
        for _ in range(3):
            requests.start_soon(call)
        await wait_all_tasks_blocked(0.01)
        assert (await client.send()).body == b"ok"
        done.set()
    assert [answer.body for answer in answers] == [b"ok"] * 3
    assert server.connections == 2


async def test_send_makes_the_connections_that_it_needs_at_the_same_time(connect: Open) -> None:
    """Connections are not made one by one if the server accepts one request on each."""
    everyone_is_here, done = trio.Event(), trio.Event()

    async def script(peer: Peer) -> None:
        await peer.some()  # of the handshake and the preface
        if peer.number == 5:
            everyone_is_here.set()
        if peer.number:
            await everyone_is_here.wait()
        await peer.send(setting(MAX_STREAMS, 1))
        async for kind, number, _ in frames(peer):
            if kind == 1:
                await done.wait()
                await peer.send(head(number, OK) + data(number, b"ok"))

    server, client = await connect(script)
    with trio.fail_after(60):
        async with trio.open_nursery() as requests:
            for _ in range(6):
                requests.start_soon(client.send)
            await everyone_is_here.wait()
            done.set()
    assert server.connections == 6


async def test_send_follows_windows_that_change_in_the_middle(connect: Open) -> None:
    """One setting makes a window negative, the next opens it (RFC 9113, section 6.9.2)."""
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.send(setting(INITIAL_WINDOW, 1000))
        received = 0
        async for kind, number, size in frames(peer):
            if kind == 0:
                received += size
                sizes.append(size)
                if received == 1000:
                    await peer.send(setting(INITIAL_WINDOW, 10))
                    await wait_all_tasks_blocked()
                    await peer.send(setting(INITIAL_WINDOW, 1500))
                    await peer.send(setting(INITIAL_WINDOW, 40_000))
            if received == 30_000:
                await peer.send(head(number, OK) + data(number, b"ok"))
                received = 0

    _, client = await connect(script)
    with trio.fail_after(60):
        assert (await client.send("POST", bytes(30_000))).body == b"ok"
    assert sizes[:2] == [1000, 500]


async def test_send_to_a_server_that_never_opens_its_window_can_be_given_up(connect: Open) -> None:
    """The neighbours are answered, and the connection stays usable."""

    async def script(peer: Peer) -> None:
        await peer.send(setting(INITIAL_WINDOW, 0))
        async for kind, number, _ in frames(peer):
            if kind == 1 and number > 1:
                await peer.send(head(number, OK) + data(number, b"ok"))

    server, client = await connect(script)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as requests:
            requests.start_soon(client.send, "POST", b"never")
            await wait_all_tasks_blocked(0.01)
            assert (await client.send()).body == b"ok"
            scope.cancel()
    assert scope.cancelled_caught
    assert (await client.send()).body == b"ok"
    assert server.connections == 1


HINTS = [(":status", "103"), ("link", "</a.css>")]
LENGTH = [*OK, ("content-length", "2")]


@pytest.mark.parametrize(
    ("method", "parts", "body"),
    [
        ("GET", [head(1, HINTS), head(1, HINTS), head(1, OK), data(1, b"ok")], b"ok"),
        ("GET", [head(1, [(":status", "100")]), head(1, OK), data(1, b"ok")], b"ok"),
        ("POST", [head(1, HINTS), head(1, LENGTH), data(1, b"ok")], b"ok"),
        ("GET", [head(1, OK), frame(0, 1, b"ok"), head(1, [("x", "1")], end=True)], b"ok"),
        ("GET", [head(1, OK), frame(0, 1), frame(0, 1, b"ok"), frame(0, 1), data(1, b"")], b"ok"),
        ("GET", [head(1, OK), frame(0, 1, b"\x03ok\0\0\0", 9)], b"ok"),  # padded
        ("GET", [head(1, [(":status", "204"), ("content-length", "9")], end=True)], b""),
        ("HEAD", [head(1, LENGTH, end=True)], b""),
        ("HEAD", [head(1, LENGTH), data(1, b"")], b""),
        ("GET", [head(1, HINTS, end=True)], None),
        ("GET", [head(1, [(":status", "101")]), head(1, OK), data(1, b"ok")], None),
        ("GET", [head(1, OK), head(1, HINTS), data(1, b"ok")], None),
        ("GET", [head(1, OK), frame(0, 1, b"ok"), head(1, [("X", "1")], end=True)], None),
        ("GET", [head(1, OK), frame(0, 1, b"\x09ok", 9)], None),  # more padding than frame
        ("HEAD", [head(1, LENGTH), data(1, b"ok")], None),
        ("GET", [head(1, [(":status", "204")]), data(1, b"ok")], None),
        ("GET", [head(1, [(":status", "304")]), data(1, b"ok")], None),
    ],
)
async def test_send_reads_a_response_by_its_frames(
    connect: Open, method: str, parts: list[bytes], body: bytes | None
) -> None:
    """Interim heads, trailers, padding and empty frames; invalid sequences are never ok."""
    _, client = await connect(http2(flushing(*[lambda _, part=part: part for part in parts])))
    if body is None:
        assert classify(await client.failure(method)) == ("protocol", "final")
    else:
        assert (await client.send(method)).body == body


async def test_send_of_head_answered_with_a_body_fails_alone(connect: Open) -> None:
    """The connection, and a neighbour on it, are unaffected."""

    async def handler(stream: Stream) -> None:
        if dict(stream.headers)[":method"] == "HEAD":
            await stream.link.flush(head(stream.number, LENGTH) + data(stream.number, b"ok"))
        else:
            await stream.answer(b"ok")

    server, client = await connect(http2(handler))
    for _ in range(2):
        assert classify(await client.failure("HEAD")) == ("protocol", "final")
        assert (await client.send()).body == b"ok"
    assert server.connections == 1


def test_connection_indexes_few_headers_even_if_the_server_allows_many() -> None:
    """Otherwise each record's headers would be kept: HEADER_TABLE_SIZE may be 4 GiB."""
    connection = client_connection()
    connection.receive_data(setting(HEADER_TABLE, 2**32 - 1))
    for index in range(50):
        target = f"https://a.test/{index:04000}"
        request = Request(request_head(target), None)
        connection.send_headers(2 * index + 1, header_list(request), end_stream=True)
    entries = connection.encoder.header_table.dynamic_entries
    assert sum(len(name) + len(value) + 32 for name, value in entries) <= 4096

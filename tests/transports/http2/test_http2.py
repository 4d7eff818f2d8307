"""HTTP/2: many requests on one connection, each of which can fail or be cancelled alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.errors
import pytest
import trio
from support.client import classify, descriptors_settle_at, open_descriptors
from support.http2 import Handler, Stream, echo2, http2
from support.server import Peer
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError

ErrorCodes = h2.errors.ErrorCodes
LARGE = bytes(range(256)) * (12 << 10)
MAX_STEPS = 400

Open = Callable[..., Any]


async def test_send_puts_the_prepared_request_on_the_wire(connect: Open) -> None:
    """Names are in lower case, Host is :authority, the target is unchanged, nothing is added."""
    seen: list[Stream] = []

    async def handler(stream: Stream) -> None:
        seen.append(stream)
        await stream.answer(b"ok", ("X-One", "1"), status=418)

    server, client = await connect(http2(handler), headers={"X-Odd": "caf\xe9 ", "Keep-Alive": "1"})
    client.head = type(client.head)("GET", client.head.origin, "/a%20b?x=%2F'", client.head.headers)
    answer = await client.send("POST", b"{}")
    assert seen[0].headers == [
        (":method", "POST"),
        (":authority", f"127.0.0.1:{server.port}"),
        (":scheme", "https"),
        (":path", "/a%20b?x=%2F'"),
        ("user-agent", "test/1"),
        ("accept", "*/*"),
        ("x-odd", "caf\xe9"),
        ("content-length", "2"),
    ]
    assert (answer.status, answer.body, answer.headers) == (418, b"ok", [(b"x-one", b"1")])
    assert seen[0].body == b"{}"


async def test_send_shares_one_connection(connect: Open, nursery: trio.Nursery) -> None:
    """Concurrent requests wait for one connection, and none waits for another's response."""
    arrived: list[Stream] = []

    async def handler(stream: Stream) -> None:
        arrived.append(stream)
        if len(arrived) == 20:
            for other in reversed(arrived):
                await other.answer(other.body)

    server, client = await connect(http2(handler))

    async def call(number: int) -> None:
        assert (await client.send("POST", b"%d" % number)).body == b"%d" % number

    async with trio.open_nursery() as requests:
        for number in range(20):
            requests.start_soon(call, number)
    assert server.connections == 1


async def test_send_opens_another_connection_past_the_servers_limit(connect: Open) -> None:
    """No request queues: those beyond one connection's limit use the next."""
    go = trio.Event()

    async def handler(stream: Stream) -> None:
        if len(waiting) < 5:
            waiting.append(stream)
            await go.wait()
        await stream.answer(b"ok")

    waiting: list[Stream] = []
    server, client = await connect(http2(handler, limit=2))
    async with trio.open_nursery() as requests:
        for _ in range(5):
            requests.start_soon(client.send)
        while len(waiting) < 5:
            await wait_all_tasks_blocked(0.001)
        go.set()
    assert server.connections == 3
    await client.send()
    assert server.connections == 3


async def test_send_keeps_to_the_windows_both_ways(connect: Open) -> None:
    """Several bodies larger than any window pass at a time."""
    server, client = await connect(http2(echo2), max_response=8 << 20)

    async def call(number: int) -> None:
        body = LARGE + b"%d" % number
        assert (await client.send("POST", body)).body == body

    async with trio.open_nursery() as requests:
        for number in range(4):
            requests.start_soon(call, number)
    assert server.connections == 1


def refusing(code: ErrorCodes, *, begun: bool) -> Handler:
    async def handler(stream: Stream) -> None:
        if begun:
            await stream.head()
        await stream.refuse(code)

    return handler


@pytest.mark.parametrize(
    ("code", "begun", "expected", "sent"),
    [
        (ErrorCodes.REFUSED_STREAM, False, ("protocol", "transient"), False),
        (ErrorCodes.CANCEL, False, ("protocol", "transient"), True),
        (ErrorCodes.INTERNAL_ERROR, True, ("protocol", "transient"), True),
    ],
)
async def test_send_fails_where_the_server_resets_the_stream(
    connect: Open, code: ErrorCodes, begun: bool, expected: tuple[str, str], sent: bool
) -> None:
    """Only a refused stream was certainly not processed; the connection stays usable."""
    server, client = await connect(http2(refusing(code, begun=begun)))
    for _ in range(2):
        with pytest.raises(TransportError) as caught:
            await client.send("POST", b"{}")
        assert classify(caught.value) == expected
        assert caught.value.sent == sent
    assert server.connections == 1


@pytest.mark.parametrize(
    ("last", "code", "sent"),
    [(0, ErrorCodes.NO_ERROR, False), (1, ErrorCodes.INTERNAL_ERROR, True)],
)
async def test_send_fails_where_the_server_parts(
    connect: Open, last: int, code: ErrorCodes, sent: bool
) -> None:
    """Streams after the last of a GOAWAY were not processed; the next gets a new connection."""

    async def handler(stream: Stream) -> None:
        if server.connections > 1:
            await stream.answer(b"ok")
            return
        stream.link.h2.close_connection(code, last_stream_id=last)
        await stream.link.flush()

    server, client = await connect(http2(handler))
    with pytest.raises(TransportError) as caught:
        await client.send("POST", b"{}")
    assert classify(caught.value) == ("protocol", "transient")
    assert caught.value.sent == sent
    assert (await client.send()).body == b"ok"


async def test_send_takes_a_kept_connection_that_parts_for_stale(connect: Open) -> None:
    """Unprocessed requests can be sent on a new connection at once, whatever the method."""

    async def handler(stream: Stream) -> None:
        if stream.number == 1:
            await stream.answer(b"ok")
            return
        stream.link.h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=1)
        await stream.link.flush()

    _, client = await connect(http2(handler))
    await client.send("POST", b"{}")
    with pytest.raises(TransportError) as caught:
        await client.send("POST", b"{}")
    assert classify(caught.value) == ("protocol", "stale")
    assert not caught.value.sent
    assert (await client.send("POST", b"{}", fresh=True)).body == b"ok"


async def test_send_finishes_what_an_orderly_goodbye_leaves(connect: Open) -> None:
    """A request under way is still answered, and the connection is closed after it."""

    async def handler(stream: Stream) -> None:
        goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x01" + bytes(4)
        await stream.link.flush(goaway)
        await stream.answer(b"last")

    server, client = await connect(http2(handler))
    assert (await client.send()).body == b"last"
    await wait_all_tasks_blocked(0.001)
    assert server.open == 0


async def test_send_counts_no_part_of_a_response_as_one(connect: Open) -> None:
    """A connection lost in the middle, or a body shorter than announced, is an error."""

    async def handler(stream: Stream) -> None:
        if stream.body == b"cut":
            await stream.head()
            await stream.data(b"half")
            await trio.aclose_forcefully(stream.link.peer.stream)
        else:
            await stream.answer(b"half", ("content-length", "8"))

    _, client = await connect(http2(handler))
    for body, expected in ((b"cut", "transient"), (b"short", "final")):
        error = await client.failure("POST", body)
        assert classify(error) == ("protocol", expected)
        assert error.sent


async def test_send_caps_the_body(connect: Open) -> None:
    """Beyond the limit the stream is reset, and the connection stays usable."""
    resets: list[Stream] = []

    async def handler(stream: Stream) -> None:
        if stream.body == b"endless":
            await stream.head()
            while not stream.reset.is_set():
                await stream.data(bytes(1000))
            resets.append(stream)
        else:
            await stream.answer(bytes(10_000))

    server, client = await connect(http2(handler), max_response=10_000)
    assert len((await client.send("POST", b"just")).body) == 10_000
    assert classify(await client.failure("POST", b"endless")) == ("too_large", "final")
    assert len((await client.send("POST", b"just")).body) == 10_000
    assert server.connections == 1
    assert len(resets) == 1


async def test_send_sees_that_an_idle_connection_is_gone(connect: Open) -> None:
    """A POST is sent on a new connection."""

    async def handler(stream: Stream) -> None:
        await stream.answer(b"ok")
        await trio.aclose_forcefully(stream.link.peer.stream)

    server, client = await connect(http2(handler))
    for _ in range(3):
        assert (await client.send("POST", b"{}")).body == b"ok"
        await wait_all_tasks_blocked(0.001)
    assert server.connections == 3


async def test_send_knows_a_stale_connection(connect: Open) -> None:
    """It closes upon its second request, without a byte of a response."""

    async def handler(stream: Stream) -> None:
        if stream.number > 1:
            await trio.aclose_forcefully(stream.link.peer.stream)
        else:
            await stream.answer(b"ok")

    _, client = await connect(http2(handler))
    await client.send()
    assert classify(await client.failure()) == ("protocol", "stale")
    assert (await client.send(fresh=True)).body == b"ok"


async def test_send_leaves_a_connection_that_has_fallen_silent(connect: Open) -> None:
    """If a request timed out and nothing was received, the next takes a new connection."""

    async def handler(stream: Stream) -> None:
        if server.connections == 1:
            await trio.sleep_forever()
        await stream.answer(b"ok")

    server, client = await connect(http2(handler))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as requests:
            requests.start_soon(client.send)
            await wait_all_tasks_blocked(0.01)
            scope.cancel()
    assert client.attempt.sent
    assert (await client.send()).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not valid HTTP/2"),
        (b"", "connection lost before the response"),
    ],
)
async def test_send_fails_where_the_server_breaks_its_word(
    connect: Open, greeting: bytes, words: str
) -> None:
    """It agrees on HTTP/2 but does not speak it: nothing of a request was sent."""

    async def script(peer: Peer) -> None:
        await peer.some()
        if greeting:
            await peer.send(greeting)

    _, client = await connect(script)
    before = open_descriptors()
    error = await client.failure("POST", b"{}")
    assert error.kind == "protocol"
    assert not error.sent
    assert words in error.message
    assert await descriptors_settle_at(before)


async def test_requests_that_wait_for_one_connection_share_its_failure(connect: Open) -> None:
    """A silent server costs all of them a single connect timeout."""
    server, client = await connect(Peer.closed, connect_timeout=0.3)
    async with trio.open_nursery() as requests:
        for _ in range(8):
            requests.start_soon(client.failure)
    assert server.connections == 1
    assert server.open == 0


async def test_send_refuses_a_header_that_http2_has_no_place_for(connect: Open) -> None:
    """Nothing is sent, and the message does not quote the header."""
    _, client = await connect(http2(echo2), headers={"Te": "secret"})
    error = await client.failure()
    assert classify(error) == ("protocol", "final")
    assert not error.sent
    assert "secret" not in error.message

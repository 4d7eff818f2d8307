"""HTTP/2 servers that err, or act at odd moments: each request only suffers for itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import h2.errors
import msgspec
import pytest
import trio
from support.client import Attempt, classify, request_head
from support.http2 import Stream, http2
from support.http2_frames import STATUS_OK as OK
from support.http2_frames import Fields, data, frame, frames, head, reset, window_update
from support.server import Peer
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.http2.session import Session

LARGE = bytes(300_000)
SETTINGS, PING, GOAWAY = 4, 6, 7

Open = Callable[..., Any]


HEADS: dict[str, Fields] = {
    "no status": [("x", "1")],
    "empty": [],
    "status of letters": [(":status", "abc")],
    "empty status": [(":status", "")],
    "status of five digits": [(":status", "99999")],
    "status of digits beyond ASCII": [(":status", "\xb2\xb2\xb2")],
    "status below 100": [(":status", "099")],
    "negative status": [(":status", "-50")],
    "two status": [OK, OK],
    "of a connection": [OK, ("connection", "secret")],
    "upper case": [OK, ("X-Secret", "1")],
    "line feed": [OK, ("x", "a\nsecret")],
    "length of letters": [OK, ("content-length", "secret")],
    "two lengths": [OK, ("content-length", "0"), ("content-length", "1")],
    "a length and no body": [OK, ("content-length", "10")],
}


@pytest.mark.parametrize("case", HEADS)
async def test_send_refuses_a_malformed_head(connect: Open, case: str) -> None:
    """The request fails, the error quotes nothing, and a neighbour is answered."""

    async def handler(stream: Stream) -> None:
        if stream.body == b"neighbour":
            neighbours.append(stream)
            return
        await stream.link.flush(head(stream.number, HEADS[case], end=True))
        for neighbour in neighbours:
            await neighbour.answer(b"ok")

    neighbours: list[Stream] = []
    answers: list[Response] = []
    server, client = await connect(http2(handler))

    async def call() -> None:
        answers.append(await client.send("POST", b"neighbour"))

    async with trio.open_nursery() as requests:
        requests.start_soon(call)
        while not neighbours:
            await wait_all_tasks_blocked(0.001)
        error = await client.failure("POST", b"bad")
    assert classify(error) == ("protocol", "final")
    assert error.sent
    assert "secret" not in error.message.lower()
    assert answers[0].body == b"ok"
    assert server.connections == 1


async def test_send_strips_the_blanks_around_a_value(connect: Open) -> None:
    """Servers send them (curl/curl#9448), and they have no meaning."""
    fields = [OK, ("x", " \ta b\t "), ("content-length", " 2")]

    async def handler(stream: Stream) -> None:
        trailers = head(stream.number, [("y", " c ")], end=True)
        await stream.link.flush(
            head(stream.number, fields) + frame(0, stream.number, b"ok") + trailers
        )

    _, client = await connect(http2(handler))
    response = await client.send()
    assert response.headers == [(b"x", b"a b"), (b"content-length", b"2")]
    assert response.body == b"ok"


def large(size: int) -> Fields:
    return [(f"x{i}", "secret" * 150) for i in range(size // 900)]


async def _with_neighbours(
    connect: Open, bad: Callable[[int], bytes]
) -> tuple[Any, TransportError, list[Any]]:
    """Send three requests on one connection, the first of which `bad` answers."""

    async def handler(stream: Stream) -> None:
        if stream.body == b"neighbour":
            neighbours.append(stream)
            return
        await stream.link.flush(bad(stream.number))
        await wait_all_tasks_blocked()
        for neighbour in neighbours:
            await neighbour.answer(b"ok")

    neighbours: list[Stream] = []
    outcomes: list[Any] = []
    server, client = await connect(http2(handler))

    async def call() -> None:
        try:
            outcomes.append(await client.send("POST", b"neighbour"))
        except TransportError as error:
            outcomes.append(error)

    async with trio.open_nursery() as requests:
        requests.start_soon(call)
        requests.start_soon(call)
        while len(neighbours) < 2:
            await wait_all_tasks_blocked(0.001)
        error = await client.failure("POST", b"bad")
    return server, error, outcomes


LARGE_HEADS: dict[str, Callable[[int], bytes]] = {
    "head": lambda n: head(n, [OK, *large(120_000)], end=True),
    "interim head": lambda n: head(n, [(":status", "103"), *large(120_000)]),
    "trailers": lambda n: head(n, [OK]) + head(n, large(120_000), end=True),
    "many small headers": lambda n: head(n, [OK, *[("a", "")] * 2000], end=True),
}


@pytest.mark.parametrize("case", LARGE_HEADS)
async def test_send_fails_alone_for_a_large_head(connect: Open, case: str) -> None:
    """However many frames it takes, its neighbours are answered."""
    server, error, outcomes = await _with_neighbours(connect, LARGE_HEADS[case])
    assert classify(error) == ("too_large", "final")
    assert error.message == "the head of a response is larger than 65536 bytes"
    assert [outcome.body for outcome in outcomes] == [b"ok", b"ok"]
    assert server.connections == 1


BREACHES: dict[str, tuple[Callable[[int], bytes], str]] = {
    "enormous head": (
        lambda n: head(n, [OK, *large(300_000)], end=True),
        "the head of a response is larger than 262144 bytes",
    ),
    "headers that cannot be decoded": (
        lambda n: frame(1, n, b"\xff\xff\xff\xff", 4),
        "not valid HTTP/2: the server violated the protocol",
    ),
    "frame too large": (lambda n: frame(0, n, bytes(20_000)), "not valid HTTP/2: an invalid frame"),
}


@pytest.mark.parametrize("case", BREACHES)
async def test_send_is_transient_where_another_may_have_ended_the_connection(
    connect: Open, case: str
) -> None:
    """Such requests may be retried, but not at once, and may have been processed."""
    bad, message = BREACHES[case]
    _, error, outcomes = await _with_neighbours(connect, bad)
    for outcome in (error, *outcomes):
        assert classify(outcome) == ("protocol", "transient")
        assert outcome.sent
        assert outcome.message == message


@pytest.mark.parametrize("case", BREACHES)
async def test_send_is_final_where_it_was_alone(connect: Open, case: str) -> None:
    """The next attempt would fail in the same way."""
    bad, message = BREACHES[case]

    async def handler(stream: Stream) -> None:
        await stream.link.flush(bad(stream.number))

    _, client = await connect(http2(handler))
    error = await client.failure("POST", b"{}")
    assert classify(error) == ("protocol", "final")
    assert error.message == message


LENGTH: Fields = [OK, ("content-length", "10")]
TRAILERS = head(1, [("x", "1")], end=True)
HALF, TEN = frame(0, 1, b"half"), frame(0, 1, bytes(10))


@pytest.mark.parametrize(
    ("method", "fields", "rest", "expected"),
    [
        ("GET", LENGTH, data(1, b"half"), None),
        ("GET", LENGTH, data(1, b"more than ten"), None),
        ("GET", LENGTH, HALF + TRAILERS, None),
        ("GET", [OK], HALF + head(1, [OK], end=True), None),
        ("GET", [(":status", "103")], data(1, b""), None),
        ("GET", LENGTH, TEN + TRAILERS, 200),
        ("GET", LENGTH, data(1, bytes(10)), 200),
        ("HEAD", LENGTH, data(1, b""), 200),
        ("GET", [(":status", "304"), *LENGTH[1:]], data(1, b""), 304),
    ],
    ids=[
        "short",
        "long",
        "short, trailers",
        "status in trailers",
        "no head",
        "whole, trailers",
        "whole",
        "HEAD",
        "304",
    ],
)
async def test_send_takes_no_body_of_another_length(
    connect: Open, method: str, fields: Fields, rest: bytes, expected: int | None
) -> None:
    """Whatever ends the response; with HEAD and 304 the length is another response's."""

    async def handler(stream: Stream) -> None:
        await stream.link.flush(head(stream.number, fields) + rest)

    _, client = await connect(http2(handler))
    if expected:
        assert (await client.send(method)).status == expected
    else:
        assert classify(await client.failure(method)) == ("protocol", "final")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(h2.errors.ErrorCodes.REFUSED_STREAM, False), (h2.errors.ErrorCodes.CANCEL, True)],
)
async def test_send_is_reset_while_it_has_more_to_send(
    connect: Open, code: h2.errors.ErrorCodes, expected: bool
) -> None:
    """Even if the window opens in the same read; the connection stays usable."""

    async def script(peer: Peer) -> None:
        await peer.send(frame(SETTINGS, 0, (4).to_bytes(2, "big") + (1 << 20).to_bytes(4, "big")))
        received = 0
        async for kind, number, size in frames(peer):
            received += size if kind == 0 else 0
            if received == 65535:  # the window of the connection
                received += 1
                await peer.send(window_update(1000) + reset(number, code))
            elif kind == 1 and number > 1:
                await peer.send(head(number, [OK], end=True))

    server, client = await connect(script)
    with pytest.raises(TransportError) as caught:
        await client.send("POST", LARGE)
    assert classify(caught.value) == ("protocol", "transient")
    assert caught.value.sent == expected
    assert (await client.send()).status == 200
    assert server.connections == 1


async def test_send_takes_back_what_an_early_answer_left_unsent(connect: Open) -> None:
    """Otherwise the stream would count against the server's limit for ever."""
    resets: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.send(frame(SETTINGS, 0, (3).to_bytes(2, "big") + (1).to_bytes(4, "big")))
        async for kind, number, _ in frames(peer):
            if kind == 1:
                await peer.send(head(number, [(":status", "413")]) + data(number, b"big"))
            elif kind == 3:
                resets.append(number)

    server, client = await connect(script)
    for _ in range(3):
        answer = await client.send("POST", LARGE)
        assert (answer.status, answer.body) == (413, b"big")
    await wait_all_tasks_blocked(0.01)
    assert server.connections == 1
    assert resets == [1, 3, 5]


async def test_send_sees_an_end_behind_other_frames(connect: Open) -> None:
    """A POST gets a new connection if a ping and the end arrived on the idle one."""

    async def handler(stream: Stream) -> None:
        await stream.answer(b"ok")
        await wait_all_tasks_blocked(0.01)
        for _ in range(3):
            await stream.link.flush(frame(PING, 0, b"12345678"))
        await trio.aclose_forcefully(stream.link.peer.stream)

    server, client = await connect(http2(handler))
    for _ in range(3):
        assert (await client.send("POST", b"{}")).body == b"ok"
        await wait_all_tasks_blocked(0.03)
    assert server.connections == 3


async def test_send_begins_nothing_after_a_goodbye(connect: Open) -> None:
    """GOAWAY comes with the settings: nothing was sent, and a retry is allowed."""

    async def script(peer: Peer) -> None:
        await peer.send(frame(SETTINGS, 0) + frame(GOAWAY, 0, bytes(8)))
        await peer.closed()

    _, client = await connect(script)
    error = await client.failure("POST", b"{}")
    assert classify(error) == ("protocol", "transient")
    assert not error.sent


class Flooding:
    """A socket on which there is always another frame to read."""

    def __init__(self, flood: bytes) -> None:
        self._flood = flood
        self._received = 0

    def fileno(self) -> int:
        return -1

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, size: int) -> bytes:
        self._received += 1
        assert self._received < 10_000  # without a single checkpoint
        return self._flood if self._received > 1 else frame(SETTINGS, 0)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    "flood",
    [frame(PING, 0, b"12345678"), window_update(1), head(1, [(":status", "103")])],
    ids=["pings", "windows", "interim heads"],
)
async def test_exchange_leaves_others_their_turn_in_a_flood(flood: bytes) -> None:
    """A request can be cancelled while frames arrive without end; no other begins."""
    session = Session(cast(socket.socket, Flooding(flood)), 100)
    await session.open()
    with trio.move_on_after(0) as scope:
        await session.exchange(Request(request_head("https://a.test/"), None), Attempt())
    assert scope.cancelled_caught
    assert not session.can_begin()
    session.close()


@pytest.mark.parametrize(
    "flood",
    [frame(PING, 0, b"12345678"), frame(SETTINGS, 0)],
    ids=["pings", "settings"],
)
async def test_send_answers_no_flood_without_end(connect: Open, flood: bytes) -> None:
    """Otherwise the replies to a server that does not read them would fill the memory
    (CVE-2019-9512, CVE-2019-9515).
    """

    async def script(peer: Peer) -> None:
        await peer.send(frame(SETTINGS, 0))
        while True:
            await peer.send(flood * 1000)

    server, client = await connect(script)
    error = await client.failure("POST", b"{}")
    assert classify(error) == ("protocol", "final")
    assert "does not read" in error.message
    await wait_all_tasks_blocked(0.001)
    assert server.open == 0


async def test_send_takes_no_time_for_a_large_url(connect: Open) -> None:
    """hpack would take minutes, during which no time limit and no other request acts."""

    async def script(peer: Peer) -> None:
        await peer.send(frame(SETTINGS, 0))
        received = 0
        async for kind, number, size in frames(peer):
            received += size if kind in (1, 9) else 0
            if received > 1_000_000:
                await peer.send(head(number, [OK]) + data(number, b"ok"))
                received = 0

    server, client = await connect(script)
    client.head = msgspec.structs.replace(client.head, target="/" + "x" * 1_000_000)
    for _ in range(2):
        assert (await client.send()).body == b"ok"
    assert server.connections == 1


async def test_send_is_woken_from_a_server_that_reads_no_further(connect: Open) -> None:
    """The task that takes over receiving gets an early answer though its body is stuck."""
    heads: list[int] = []

    async def script(peer: Peer) -> None:
        window = (4).to_bytes(2, "big") + (1 << 30).to_bytes(4, "big")
        await peer.send(frame(SETTINGS, 0, window) + window_update(1 << 30))
        await go.wait()
        await peer.send(head(1, [OK]) + data(1, b"first"))
        await first_is_answered.wait()
        await wait_all_tasks_blocked(0.01)
        await peer.send(head(3, [(":status", "413")]) + data(3, b"big"))
        await trio.sleep_forever()

    go, first_is_answered = trio.Event(), trio.Event()
    _, client = await connect(script)

    async def call(body: bytes) -> None:
        answer = await client.send("POST", body)
        heads.append(answer.status)
        first_is_answered.set()

    with trio.fail_after(60):
        async with trio.open_nursery() as requests:
            requests.start_soon(partial(call, b"{}"))
            await wait_all_tasks_blocked(0.1)
            requests.start_soon(partial(call, bytes(15_000_000)))
            await wait_all_tasks_blocked(0.1)
            go.set()
    assert heads == [200, 413]

"""Successful exchanges: what is sent, what is returned, and whether the connection is kept."""

from __future__ import annotations

import msgspec
import pytest
import trio
from support.client import OpenClient, TransportKind, classify
from support.responses import OK, SOUND
from support.server import Peer, StartServer, answering, echo, response, sending
from trio.testing import wait_all_tasks_blocked


async def test_send_puts_the_prepared_request_on_the_wire(
    start: StartServer, client: OpenClient
) -> None:
    """Request line, headers and body are the prepared ones, with nothing added."""
    server = await start(echo)
    caller = client(server.url + "a%20b/?x=%2F&y='", headers={"X-Odd": "caf\xe9 "})
    answer = await caller.send("POST", b'{"a":1}')
    head = caller.head
    expected = [f"POST {head.target} HTTP/1.1", *map(": ".join, head.headers), "Content-Length: 7"]
    lines = server.requests[0].head.decode("latin-1").split("\r\n")
    assert [line.rstrip() for line in lines] == [*map(str.rstrip, expected), "", ""]
    assert answer.body == server.requests[0].body == b'{"a":1}'


@pytest.mark.parametrize(("method", "body", "length"), [("POST", b"", "0"), ("GET", None, None)])
async def test_send_says_the_length_of_a_body_that_there_is(
    start: StartServer, client: OpenClient, method: str, body: bytes | None, length: str | None
) -> None:
    """An empty body has length 0, and a missing body has none."""
    server = await start(echo)
    await client(server.url).send(method, body)
    assert server.requests[0].headers.get("content-length") == length


async def test_send_returns_the_response_as_received(
    start: StartServer, client: OpenClient
) -> None:
    """Status, headers in order with names in lower case, body, and the size on the wire."""
    data = response(b'{"b":2}', "X-One: 1", "x-two: \xe4", "X-One: 3", status="418 ")
    server = await start(answering(data))
    answer = await client(server.url).send()
    assert answer.status == 418
    assert answer.headers == [
        (b"content-length", b"7"),
        (b"x-one", b"1"),
        (b"x-two", "\xe4".encode()),
        (b"x-one", b"3"),
    ]
    assert (answer.body, answer.wire_size) == (b'{"b":2}', len(data))


async def test_send_takes_headers_at_their_word_only(
    start: StartServer, client: OpenClient
) -> None:
    """Cookies are not kept, and a redirect is neither followed nor parsed."""
    location = "Location: http://a:b:c/"
    server = await start(answering(response(b"", location, "Set-Cookie: a=b", status="302 Found")))
    caller = client(server.url)
    assert [(await caller.send()).status for _ in range(2)] == [302, 302]
    assert "cookie" not in server.requests[1].headers
    assert (await caller.send()).header(b"location") == b"http://a:b:c/"


@pytest.mark.parametrize(
    "header",
    [
        b"Set-Cookie: \xff=;;",
        b"Set-Cookie: =",
        b"Content-Type: x; y=\xe9",
        b"Content-Encoding: \xe9",
    ],
)
async def test_send_passes_any_header_on(
    start: StartServer, client: OpenClient, header: bytes
) -> None:
    """Values that no text encoding and no cookie jar accepts do not fail a response."""
    server = await start(answering(b"HTTP/1.1 204 No Content\r\n%b\r\n\r\n" % header))
    name, _, value = header.partition(b": ")
    answer = await client(server.url).send()
    assert (answer.status, answer.headers) == (204, [(name.lower(), value)])
    assert type(answer.header(name.lower())) is bytes


# h11 ends every HTTP/1.0 connection, which is harmless.
NOT_KEPT = {(kind, "old version kept alive") for kind in ("httpx", "http2")}


@pytest.mark.parametrize("case", SOUND)
async def test_send_reads_a_response_to_its_end(
    start: StartServer, client: OpenClient, kind: TransportKind, case: str
) -> None:
    """The end is found by RFC 9112, section 6.3, and the connection is kept if allowed."""
    data, status, body, kept, method = SOUND[case]
    kept = kept and (kind, case) not in NOT_KEPT
    server = await start(answering(data) if kept else sending(data))
    caller = client(server.url)
    for _ in range(3):
        answer = await caller.send(method, b"{}" if method == "POST" else None)
        assert (answer.status, answer.body) == (status, body)
        assert caller.idle == kept
    assert server.connections == (1 if kept else 3)


@pytest.mark.parametrize("case", ["trailers", "interim"])
async def test_send_returns_the_headers_of_the_head_only(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """Those of trailers and interim responses are left out."""
    server = await start(answering(SOUND[case].data))
    answer = await client(server.url).send()
    assert [name for name, _ in answer.headers] == [
        b"transfer-encoding" if case == "trailers" else b"content-length"
    ]


async def test_send_refuses_headers_that_h11_does_not_send(
    start: StartServer, client: OpenClient, kind: TransportKind
) -> None:
    """Two Host headers are the server's to judge; h11 refuses them before sending."""
    server = await start(echo)
    caller = client(server.url)
    headers = (*caller.head.headers, ("host", "secret.test"))
    caller.head = msgspec.structs.replace(caller.head, headers=headers)
    if kind == "native":
        assert (await caller.send()).status == 200
    else:
        error = await caller.failure()
        assert classify(error) == ("protocol", "final")
        assert not error.sent
        assert "secret" not in error.message


async def test_send_of_connect_is_refused_where_it_would_not_end(
    start: StartServer, client: OpenClient, kind: TransportKind
) -> None:
    """asks reads for ever after a response that turns a connection into a tunnel."""
    server = await start(answering(OK))
    caller = client(server.url)
    if kind == "asks":
        error = await caller.failure("CONNECT")
        assert classify(error) == ("protocol", "final")
        assert not error.sent
        assert server.connections == 0
    else:
        assert (await caller.send("CONNECT")).status == 200


async def test_send_keeps_the_length_that_head_speaks_of(
    start: StartServer, client: OpenClient
) -> None:
    """A response to HEAD has the headers of one to GET, and the next request is unharmed."""
    server = await start(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", OK))
    caller = client(server.url)
    assert (await caller.send("HEAD")).header(b"content-length") == b"9"
    assert (await caller.send("GET")).body == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\x00\xfe", b"[1,", bytes(range(256))])
async def test_send_passes_any_body_on(start: StartServer, client: OpenClient, body: bytes) -> None:
    """A body may be anything but JSON, not UTF-8, or missing."""
    server = await start(answering(response(body)))
    answer = await client(server.url).send()
    assert answer.body == body
    assert type(answer.body) is bytes


async def test_send_keeps_as_many_connections_as_there_are_requests_at_a_time(
    start: StartServer, client: OpenClient, nursery: trio.Nursery
) -> None:
    """No request waits for another, and the connections are used again afterwards."""
    everyone_is_here = trio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            if len(server.requests) == 20:
                everyone_is_here.set()
            await everyone_is_here.wait()
            await peer.send(OK)

    server = await start(script)
    caller = client(server.url)
    for _ in range(2):
        async with trio.open_nursery() as requests:
            for _ in range(20):
                requests.start_soon(caller.send)
    assert (server.connections, server.peak, len(server.requests)) == (20, 20, 40)


async def test_send_prefers_the_connection_used_last(
    start: StartServer, client: OpenClient
) -> None:
    """Few connections are kept busy, and servers can close the others."""
    both = trio.Event()
    served: list[int] = []

    async def script(peer: Peer) -> None:
        while await peer.request():
            served.append(peer.number)
            if peer.number == 0:
                await both.wait()
            both.set()
            await peer.send(OK)

    server = await start(script)
    caller = client(server.url)
    async with trio.open_nursery() as requests:
        requests.start_soon(caller.send)
        await wait_all_tasks_blocked()
        requests.start_soon(caller.send)
    last = (await caller.send()) and served[-1]
    for _ in range(3):
        await caller.send()
    assert server.connections == 2
    assert served[2:] == [last] * 4


async def test_send_on_a_fresh_connection_when_told_to(
    start: StartServer, client: OpenClient
) -> None:
    """`fresh` ignores kept connections, which stay usable."""
    server = await start(answering(OK))
    caller = client(server.url)
    await caller.send()
    await caller.send(fresh=True)
    assert server.connections == 2
    await caller.send()
    assert server.connections == 2


async def test_aclose_closes_every_connection(start: StartServer, client: OpenClient) -> None:
    """No socket outlives the transport."""
    server = await start(answering(OK))
    caller = client(server.url)
    async with trio.open_nursery() as requests:
        for _ in range(5):
            requests.start_soon(caller.send)
    assert server.open > 0
    await caller.transport.aclose()
    await wait_all_tasks_blocked(0.001)
    assert server.open == 0

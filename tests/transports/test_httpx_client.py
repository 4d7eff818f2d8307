"""A client of the program's own, of httpx or httpx2: everything set up in it takes effect."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import trio
from support.certificates import Certificates
from support.client import Attempt, classify, descriptors_settle_at, open_descriptors, request_head
from support.server import Peer, Received, StartServer, answering, echo, response, sending
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.version import __version__
from tmux_fanout.transports.foreign.client import ClientTransport

OK = response(b"ok")


class Caller:
    """A transport with a client."""

    def __init__(self, url: str, client: Any, **keys: Any) -> None:
        api = Api("a", url, client=client, **{"max_response": 10_000, **keys})
        self.plan = plan_run([api], RunSettings(), {"HTTP_PROXY": "ignored"}).apis[0]
        self.transport = ClientTransport(self.plan)
        self.url = url
        self.attempt = Attempt()

    async def send(
        self, method: str = "GET", body: bytes | None = None, *headers: tuple[str, str]
    ) -> Response:
        self.attempt = Attempt()
        head = request_head(self.url, *headers)
        head = type(head)(method, head.origin, head.target, head.headers)
        with trio.fail_after(60):
            return await self.transport.send(Request(head, body), self.attempt)

    async def failure(self, method: str = "GET", body: bytes | None = None) -> TransportError:
        with pytest.raises(TransportError) as caught:
            await self.send(method, body)
        assert caught.value.sent == self.attempt.sent
        assert "secret" not in caught.value.message
        return caught.value


async def test_send_adds_what_the_client_has(start: StartServer, client_of: Any) -> None:
    """Default headers and cookies are sent; what the API sets itself takes precedence."""
    set_cookie = response(b"ok", "Set-Cookie: session=1")
    server = await start(answering(set_cookie, OK))
    client = client_of(headers={"X-Base": "1", "X-Both": "theirs", "User-Agent": "mine/1"})
    caller = Caller(server.url + "a%20b?x=%2F", client)
    for _ in range(2):
        answer = await caller.send("POST", b"{}", ("X-Both", "ours"))
    assert (answer.status, answer.body) == (200, b"ok")
    first, second = server.requests
    assert (first.method, first.target, first.body) == ("POST", "/a%20b?x=%2F", b"{}")
    assert first.headers["x-base"] == "1"
    assert first.headers["x-both"] == "ours"
    assert first.headers["user-agent"] == "test/1"
    assert "cookie" not in first.headers
    assert second.headers["cookie"] == "session=1"
    assert server.connections == 1


async def test_send_lets_the_clients_headers_replace_our_defaults(
    start: StartServer, client_of: Any
) -> None:
    """But its package's own defaults do not."""
    server = await start(answering(OK))
    for headers, expected in (
        ({"User-Agent": "mine/1"}, "mine/1"),
        ({}, f"tmux-fanout/{__version__}"),
    ):
        caller = Caller(server.url, client_of(headers=headers))
        head = caller.plan.requests.headers
        request = Request(
            type(request_head(server.url))("GET", caller.plan.origin, "/", head), None
        )
        await caller.transport.send(request, Attempt())
        assert server.requests[-1].headers["user-agent"] == expected


async def test_send_lets_authentication_act(
    start: StartServer, client_of: Any, package: Any
) -> None:
    """A challenge is answered within one attempt, and a response that it read is not lost."""
    challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
    unauthorized = response(b"no", challenge, status="401 Unauthorized")
    server = await start(answering(unauthorized, OK))
    auth = package.DigestAuth("user", "secret")
    assert (await Caller(server.url, client_of(auth=auth)).send("POST", b"{}")).body == b"ok"
    assert "authorization" not in server.requests[0].headers
    assert server.requests[1].headers["authorization"].startswith("Digest ")
    assert server.requests[1].body == b"{}"


async def test_send_lets_an_auth_class_read_the_response(
    start: StartServer, client_of: Any, package: Any
) -> None:
    """Its body is then already decoded, and is not decoded twice."""

    class Reading(package.Auth):  # type: ignore[misc]  # the package is known at run time only
        requires_response_body = True

        def auth_flow(self, request: Any) -> Any:
            request.headers["X-Signed"] = "yes"
            yield request

    server = await start(answering(response(gzip.compress(b"text"), "Content-Encoding: gzip")))
    for auth in (None, Reading()):
        assert (await Caller(server.url, client_of(auth=auth)).send()).body == b"text"
    assert server.requests[1].headers["x-signed"] == "yes"


async def test_send_calls_hooks_and_uses_mounts(
    start: StartServer, client_of: Any, package: Any
) -> None:
    """A mounted transport without any network works as well."""
    seen: list[str] = []

    async def note_request(request: Any) -> None:
        seen.append(f"> {request.method}")

    async def note_response(answer: Any) -> None:
        seen.append(f"< {answer.status_code}")

    mock = package.MockTransport(lambda request: package.Response(418, content=request.content))
    hooks = {"request": [note_request], "response": [note_response]}
    client = client_of(mounts={"http://mocked.test": mock}, event_hooks=hooks)
    answer = await Caller("http://mocked.test/", client).send("POST", b"{}")
    assert (answer.status, answer.body) == (418, b"{}")
    assert seen == ["> POST", "< 418"]


async def test_send_takes_a_hook_that_raises_for_the_outcome(
    start: StartServer, client_of: Any
) -> None:
    """`raise_for_status` gives the status; other exceptions are only named."""

    async def for_status(answer: Any) -> None:
        answer.raise_for_status()

    async def broken(answer: Any) -> None:
        raise KeyError("secret")

    server = await start(answering(response(b"no", status="503 Busy")))
    hooked = client_of(event_hooks={"response": [for_status]})
    assert (await Caller(server.url, hooked).send()).status == 503
    error = await Caller(server.url, client_of(event_hooks={"response": [broken]})).failure()
    assert classify(error) == ("protocol", "final")
    assert error.message == "the client raised KeyError"


async def test_send_follows_no_redirect(start: StartServer, client_of: Any) -> None:
    """Not even if the client would; `redirects` decides."""
    server = await start(answering(response(b"", "Location: /next", status="302 Found")))
    assert (await Caller(server.url, client_of(follow_redirects=True)).send()).status == 302
    assert len(server.requests) == 1


async def test_send_waits_longer_than_the_client_would(start: StartServer, client_of: Any) -> None:
    """The engine limits the time, attempt by attempt."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await wait_all_tasks_blocked(0.001)  # until the client waits for what does not come
        await peer.send(OK)

    server = await start(script)
    assert (await Caller(server.url, client_of(timeout=1e-6)).send()).body == b"ok"


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
FAILURES = {
    "cut": (CUT, ("protocol", "transient")),
    "cut chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        ("protocol", "transient"),
    ),
    "nothing": (b"", ("protocol", "transient")),
    "garbage": (b"\x00\x01 what is this\r\n\r\n", ("protocol", "final")),
    "too large": (response(bytes(10_001)), ("too_large", "final")),
    "bomb": (
        response(gzip.compress(bytes(10_001)), "Content-Encoding: gzip"),
        ("too_large", "final"),
    ),
    "bad coding": (response(b"not gzip", "Content-Encoding: gzip"), ("decode", "final")),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_send_fails_with_the_kind_that_native_gives(
    start: StartServer, client_of: Any, case: str
) -> None:
    """A partial response is never a response."""
    data, expected = FAILURES[case]
    server = await start(sending(data))
    error = await Caller(server.url, client_of()).failure("POST", b"{}")
    assert classify(error) == expected
    assert error.sent


async def test_send_knows_a_stale_connection(start: StartServer, client_of: Any) -> None:
    """A kept connection closes without a byte of a response."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    server = await start(script)
    caller = Caller(server.url, client_of())
    await caller.send()
    assert classify(await caller.failure()) == ("protocol", "stale")


async def test_send_knows_that_nothing_was_sent(
    start: StartServer, client_of: Any, package: Any
) -> None:
    """If there is no connection, no TLS or no proxy."""
    certificates = Certificates()
    assert classify(await Caller("http://127.0.0.1:1/", client_of()).failure("POST", b"{}")) == (
        "connect",
        "transient",
    )
    server = await start(echo, tls=certificates.server("other.test"))
    caller = Caller(server.url, client_of(verify=certificates.client()))
    error = await caller.failure("POST", b"{}")
    assert classify(error) == ("tls", "final")
    assert "certificate of 127.0.0.1" in error.message
    refusing = await start(answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"))
    proxied = client_of(proxy=f"http://user:secret@127.0.0.1:{refusing.port}")
    error = await Caller(server.url, proxied).failure("POST", b"{}")
    assert classify(error) == ("connect", "transient")
    assert not error.sent


@pytest.mark.parametrize("where", ["before the response", "in the body"])
async def test_send_can_be_cancelled(start: StartServer, client_of: Any, where: str) -> None:
    """The connection is closed, the request counts as sent, and the next one works."""

    async def script(peer: Peer) -> None:
        received: Received | None = await peer.request()
        if peer.number:
            await peer.send(OK)
        elif where == "in the body":
            await peer.send(CUT)
        while received:
            received = await peer.request()

    server = await start(script)
    before = open_descriptors()
    caller = Caller(server.url, client_of())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.send)
            while not server.requests:
                await wait_all_tasks_blocked(0.001)
            scope.cancel()
    assert caller.attempt.sent
    assert await descriptors_settle_at(before)
    assert (await caller.send()).body == b"ok"


async def test_aclose_leaves_the_client_open(start: StartServer, client_of: Any) -> None:
    """It belongs to the program."""
    server = await start(answering(OK))
    client = client_of()
    await Caller(server.url, client).transport.aclose()
    assert not client.is_closed
    assert (await client.get(server.url)).status_code == 200

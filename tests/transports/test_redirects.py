"""Redirects on real connections: followed within the origin, otherwise the response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from support.client import KEYS, Attempt, TransportKind, classify, request_head
from support.server import Peer, Script, Server, StartServer, response
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.policy.answers import Repeatable, repeatable
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.layers.redirects import RedirectingTransport
from tmux_fanout.transports.select import open_transports


class Caller:
    """Sends through the transport that an API with these settings gets."""

    def __init__(self, transport: Any, url: str) -> None:
        self._transport = transport
        self._url = url
        self.attempt = Attempt()

    async def send(self, method: str = "GET", body: bytes | None = None) -> Response:
        self.attempt = Attempt()
        head = msgspec.structs.replace(request_head(self._url), method=method)
        with trio.fail_after(60):
            answer: Response = await self._transport.send(Request(head, body), self.attempt)
        return answer


@asynccontextmanager
async def calling(kind: TransportKind, url: str, redirects: int) -> AsyncIterator[Caller]:
    api = Api("a", url, **KEYS[kind], redirects=redirects)
    async with open_transports(plan_run([api], RunSettings(), {}).apis) as [transport]:
        yield Caller(transport, url)


def redirect(location: str, status: int = 302) -> bytes:
    return response(b"moved", f"Location: {location}", status=f"{status} Moved")


def routing(**routes: bytes) -> Script:
    """Return a script that answers by the path's only segment; / is `root`."""

    async def script(peer: Peer) -> None:
        while received := await peer.request():
            await peer.send(routes[received.target.strip("/") or "root"])

    return script


async def test_send_follows_on_the_same_connection(start: StartServer, kind: TransportKind) -> None:
    """The bytes of all responses count, and there is no remark."""
    hop, end = redirect("/end"), response(b"here")
    server = await start(routing(root=hop, end=end))
    async with calling(kind, server.url, 5) as caller:
        answer = await caller.send()
    assert (answer.status, answer.body, answer.note) == (200, b"here", "")
    assert answer.wire_size == len(hop) + len(end)
    assert [received.target for received in server.requests] == ["/", "/end"]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", b""),
        (302, "GET", b""),
        (303, "GET", b""),
        (307, "POST", b"{}"),
        (308, "POST", b"{}"),
    ],
)
async def test_send_keeps_a_post_or_fetches_what_came_of_it(
    start: StartServer, kind: TransportKind, status: int, method: str, body: bytes
) -> None:
    """As in browsers; the GET has no length and no content type."""
    server = await start(routing(root=redirect("/end", status), end=response()))
    async with calling(kind, server.url, 1) as caller:
        assert (await caller.send("POST", b"{}")).status == 200
    first, second = server.requests
    assert (first.method, first.body) == ("POST", b"{}")
    assert (second.method, second.body) == (method, body)
    assert ("content-length" in second.headers) == (method == "POST")


async def test_send_gives_up_in_a_circle(start: StartServer, kind: TransportKind) -> None:
    """The redirect after the last one allowed is the response."""
    server = await start(routing(root=redirect("/")))
    async with calling(kind, server.url, 3) as caller:
        answer = await caller.send()
    assert (answer.status, answer.body) == (302, b"moved")
    assert answer.note == "the limit redirects = 3 is reached"
    assert len(server.requests) == 4


async def test_send_does_not_follow_by_default(start: StartServer, kind: TransportKind) -> None:
    """Without `redirects` a 3xx is the outcome."""
    server = await start(routing(root=redirect("/end")))
    async with calling(kind, server.url, 0) as caller:
        assert (await caller.send()).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "where", ["{other}", "file:///etc/passwd", "https://127.0.0.1:{port}/", "http://["]
)
async def test_send_does_not_leave_the_origin(
    start: StartServer, kind: TransportKind, where: str
) -> None:
    """Nothing is sent elsewhere; the redirect is the response, with the reason."""
    other = await start(routing(root=response()))
    bystander: list[Server] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(redirect(where.format(other=other.url, port=bystander[0].port)))

    server = await start(script)
    bystander.append(server)
    async with calling(kind, server.url, 3) as caller:
        answer = await caller.send("POST", b"{}")
    assert answer.status == 302
    assert answer.note.startswith("its ")
    assert other.requests == []
    assert len(server.requests) == 1


async def _lost(peer: Peer) -> None:
    peer.reset()


async def _unavailable(peer: Peer) -> None:
    await peer.send(response(b"", status="503 Later"))


@pytest.mark.parametrize("then", [_lost, _unavailable])
@pytest.mark.parametrize(("status", "rule"), [(303, Repeatable.IF_IDEMPOTENT), (307, None)])
async def test_send_says_that_a_post_is_done_with(
    start: StartServer,
    kind: TransportKind,
    then: Callable[[Peer], Any],
    status: int,
    rule: Repeatable | None,
) -> None:
    """After a 303 no error permits repeating the POST; after a 307 it may be repeated."""

    async def script(peer: Peer) -> None:
        while received := await peer.request():
            if received.target != "/":
                await then(peer)
                return
            await peer.send(redirect("/end", status))

    server = await start(script)
    async with calling(kind, server.url, 1) as caller:
        result: Response | TransportError
        try:
            result = await caller.send("POST", b"{}")
        except TransportError as error:
            result = error
    assert isinstance(result, TransportError) == (then is _lost)
    if isinstance(result, TransportError):
        assert result.sent
        assert classify(result) == ("protocol", "stale" if rule is None else "transient")
    plain = Repeatable.IF_IDEMPOTENT if then is _lost else Repeatable.ALWAYS
    assert repeatable(result) is (rule or plain)


async def test_send_cancelled_after_a_redirect(start: StartServer, kind: TransportKind) -> None:
    """`sent` is true of a POST that was answered."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(redirect("/end", 303))
        await peer.closed()

    server = await start(script)
    async with calling(kind, server.url, 1) as caller, trio.open_nursery() as nursery:
        nursery.start_soon(caller.send, "POST", b"{}")
        while not server.requests:
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert caller.attempt.sent


class Redirecting:
    """A transport that answers with redirects, and then cannot connect."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)

    async def send(self, request: Request, progress: Progress) -> Response:
        if not self._statuses:
            short = "open files"
            raise TransportError("connect", "refused", sent=False, transient=True, shortage=short)
        progress.sent = True
        return Response(self._statuses.pop(0), [(b"location", b"/")], b"", 0)

    async def aclose(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    ("statuses", "sent"), [([307], False), ([303], True), ([303, 307], True), ([307, 308], False)]
)
async def test_send_that_fails_after_redirects(statuses: list[int], sent: bool) -> None:
    """A POST that was only redirected is not under way; otherwise it counts as sent."""
    attempt = Attempt()
    request = Request(msgspec.structs.replace(request_head("http://a.test/"), method="POST"), b"")
    with pytest.raises(TransportError) as caught:
        await RedirectingTransport(Redirecting(*statuses), 5).send(request, attempt)
    assert (attempt.sent, caught.value.sent) == (sent, sent)
    assert bool(caught.value.shortage) is not sent

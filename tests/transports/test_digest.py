"""HTTP Digest on loopback: one nonce for all calls, and another when it is used up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from support.cancelling import cancelled_after
from support.client import KEYS, Attempt, TransportKind, descriptors_settle_at, open_descriptors
from support.digest import PASSWORD, USER, DigestGuard
from support.server import Peer, Received, Server, StartServer, answering, response
from support.tokens import opened, post
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.transports.base import Transport

MAX_STEPS = 200


class Opened:
    """The transport of an API behind a guard.

    Args:
        server: that has the guard.
        kind: of transport.
        keys: further keys of the API.
    """

    def __init__(self, server: Server, kind: TransportKind, **keys: Any) -> None:
        auth = {"digest": [USER, PASSWORD]}
        self.api = Api("a", **{"url": server.url, "auth": auth, **KEYS[kind], **keys})

    def open(self) -> AbstractAsyncContextManager[Sequence[Transport]]:
        return opened(self.api)

    async def post(
        self, transport: Transport, body: bytes = b"{}", attempt: Attempt | None = None
    ) -> Response:
        return await post(transport, self.api, attempt, body)


@pytest.fixture
def guard() -> DigestGuard:
    return DigestGuard()


@pytest.mark.parametrize(
    ("qop", "algorithm"),
    [
        ("auth", "SHA-256"),
        ("auth", "SHA-256-sess"),
        ("auth-int", "SHA-256"),
        ("auth-int,auth", "MD5"),
        ("auth", "MD5-sess"),
        ("auth", "SHA-512-256"),
        ("auth", ""),
        ("", ""),
    ],
)
async def test_each_form_of_digest_passes(
    start: StartServer, kind: TransportKind, qop: str, algorithm: str
) -> None:
    """The first request is refused, and sent again; the later ones have credentials at once."""
    guard = DigestGuard(qop, algorithm)
    api = Opened(await start(guard.script), kind)
    async with api.open() as [transport]:
        for body in (b"one", b"two", b""):
            answer = await api.post(transport, body)
            assert (answer.status, answer.body) == (200, body)
    assert guard.seen == ["", "Digest", "Digest", "Digest"]


async def test_the_name_of_the_user_can_be_hashed(start: StartServer, kind: TransportKind) -> None:
    """RFC 7616, section 3.4.4."""
    guard = DigestGuard(more=", userhash=true")
    api = Opened(await start(guard.script), kind)
    async with api.open() as [transport]:
        assert (await api.post(transport)).status == 200


async def test_one_call_asks_for_the_nonce(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """Of 64 that begin together, one is refused; the others wait, and count on together."""
    gate = trio.Event()

    async def script(peer: Peer) -> None:
        await gate.wait()
        await guard.script(peer)

    api = Opened(await start(script), kind)
    statuses: list[int] = []

    async def call(transport: Transport) -> None:
        statuses.append((await api.post(transport)).status)

    async with api.open() as [transport], trio.open_nursery() as nursery:
        for _ in range(64):
            nursery.start_soon(call, transport)
        await wait_all_tasks_blocked(0.01)
        gate.set()
    assert statuses == [200] * 64
    assert guard.refused == 1
    [counts] = guard.counts.values()
    assert sorted(counts) == list(range(1, 65))


@pytest.mark.parametrize("says_stale", [True, False])
async def test_a_nonce_that_is_used_up_is_replaced(
    start: StartServer, kind: TransportKind, guard: DigestGuard, says_stale: bool
) -> None:
    """Whether the server says so or not, and with the body once more."""
    guard.uses, guard.says_stale = 3, says_stale
    api = Opened(await start(guard.script), kind)
    async with api.open() as [transport]:
        for number in range(10):
            answer = await api.post(transport, b"%d" % number)
            assert (answer.status, answer.body) == (200, b"%d" % number)
    assert guard.refused == 4


async def test_servers_may_take_a_nonce_once(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """Each call that is refused goes on with the nonce of its own answer."""
    guard.uses = 1
    api = Opened(await start(guard.script), kind)
    statuses: list[int] = []

    async def call(transport: Transport) -> None:
        statuses.append((await api.post(transport)).status)

    async with api.open() as [transport], trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(call, transport)
    assert statuses == [200] * 20


async def test_the_next_nonce_saves_refusals(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """A server with nonces for one use may name the next one in its answer."""
    guard.uses, guard.names_next = 1, True
    api = Opened(await start(guard.script), kind)
    async with api.open() as [transport]:
        for _ in range(5):
            assert (await api.post(transport)).status == 200
    assert guard.refused == 1


async def test_wrong_credentials_are_sent_once(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """The second 401 is the answer; later calls are not refused twice, and a new password works."""
    guard.password = "other"
    api = Opened(await start(guard.script), kind)
    async with api.open() as [transport]:
        for _ in range(3):
            assert (await api.post(transport)).status == 401
        assert guard.seen == ["", "Digest", "Digest", "Digest"]
        guard.password = PASSWORD
        assert (await api.post(transport)).status == 200
        guard.password = "changed"
        assert (await api.post(transport)).status == 401
    assert guard.seen == ["", *["Digest"] * 6]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "302 Found"])
async def test_servers_that_do_not_ask_are_not_waited_for(
    start: StartServer, kind: TransportKind, status: str
) -> None:
    """Calls to a path without protection go side by side after the first."""
    gate, arrived = trio.Event(), trio.Semaphore(0)
    requests: list[Received] = []

    async def script(peer: Peer) -> None:
        while received := await peer.request():
            requests.append(received)
            if len(requests) > 1:
                arrived.release()
                await gate.wait()
            await peer.send(response(status=status))

    api = Opened(await start(script), kind)
    async with api.open() as [transport]:
        await api.post(transport)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(api.post, transport)
            for _ in range(5):
                await arrived.acquire()
            gate.set()
    assert not any("authorization" in received.headers for received in requests)


@pytest.mark.parametrize(
    ("challenge", "note"),
    [
        ('Basic realm="a"', "it asks for Basic, not Digest"),
        ("Digest realm=a, nonce=n, qop=auth-conf", "its challenge has the qop auth-conf, which"),
        (None, "it sends no challenge for Digest"),
    ],
)
async def test_what_cannot_be_answered_is_the_answer(
    start: StartServer, kind: TransportKind, challenge: str | None, note: str
) -> None:
    """With the reason in the message."""
    fields = [] if challenge is None else [f"WWW-Authenticate: {challenge}"]
    server = await start(answering(response(b"no", *fields, status="401 Unauthorized")))
    api = Opened(server, kind)
    async with api.open() as [transport]:
        answer = await api.post(transport)
    assert (answer.status, answer.body, answer.note.startswith(note)) == (401, b"no", True)
    assert len(server.requests) == 1


async def test_what_was_refused_was_not_sent(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """After the 401, an attempt is in the state that it was in before; both answers are counted."""
    cut = False

    async def script(peer: Peer) -> None:
        nonlocal cut
        while received := await peer.request():
            if "authorization" in received.headers and cut:
                return
            fields = [f"{name}: {value}" for name, value in guard.challenge().items()]
            status = "200 OK" if "authorization" in received.headers else "401 Unauthorized"
            await peer.send(response(b"x", *fields, status=status))

    api = Opened(await start(script), kind)
    async with api.open() as [transport]:
        first = await api.post(transport)
        again = await api.post(transport)
        assert first.wire_size > again.wire_size
    cut = True
    async with api.open() as [transport]:
        attempt = Attempt()
        with pytest.raises(TransportError) as caught:
            await api.post(transport, b"{}", attempt)
    assert (caught.value.sent, attempt.sent) == (True, True)


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_first_request_that_fails_holds_up_nobody(
    start: StartServer, kind: TransportKind, guard: DigestGuard, is_cancelled: bool
) -> None:
    """It may fail or be cancelled; the calls that wait for its answer then go on."""
    gate, scope = trio.Event(), trio.CancelScope()
    statuses: list[int] = []

    async def script(peer: Peer) -> None:
        if peer.number == 0:
            await peer.request()
            await gate.wait()
        else:
            await guard.script(peer)

    api = Opened(await start(script), kind)

    async def first(transport: Transport) -> None:
        with scope, pytest.raises(TransportError):
            await api.post(transport)

    async def call(transport: Transport) -> None:
        statuses.append((await api.post(transport)).status)

    async with api.open() as [transport], trio.open_nursery() as nursery:
        nursery.start_soon(first, transport)
        await wait_all_tasks_blocked(0.01)
        for _ in range(3):
            nursery.start_soon(call, transport)
        await wait_all_tasks_blocked(0.01)
        assert statuses == []
        scope.cancel() if is_cancelled else gate.set()
    assert statuses == [200] * 3


async def test_send_can_be_cancelled_at_any_point(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """Nothing stays open, and the next call works."""
    api = Opened(await start(guard.script), kind)
    before = open_descriptors()
    for steps in range(MAX_STEPS):
        async with api.open() as [transport]:

            async def both() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(api.post, transport)
                    nursery.start_soon(api.post, transport)

            cancelled = await cancelled_after(steps, both)
            with trio.fail_after(30):
                assert (await api.post(transport)).status == 200
        if not cancelled:
            break
    else:
        raise AssertionError("never finished")
    await descriptors_settle_at(before)


async def test_redirects_have_credentials_of_their_own(
    start: StartServer, kind: TransportKind, guard: DigestGuard
) -> None:
    """A URL is part of what is protected."""

    async def script(peer: Peer) -> None:
        while received := await peer.request():
            authorization = received.headers.get("authorization", "")
            refusal = guard(received.method, received.target, authorization, received.body)
            if refusal:
                fields = [f"{name}: {value}" for name, value in refusal.items()]
                await peer.send(response(b"", *fields, status="401 Unauthorized"))
            elif received.target == "/":
                await peer.send(response(b"", "Location: /there?x=1", status="307 Moved"))
            else:
                await peer.send(response(received.target.encode()))

    api = Opened(await start(script), kind, redirects=2)
    async with api.open() as [transport]:
        answer = await api.post(transport)
    assert (answer.status, answer.body) == (200, b"/there?x=1")


async def test_each_endpoint_has_its_own_credentials(
    start: StartServer, kind: TransportKind
) -> None:
    """One has another password, one a bearer token, and each origin its own nonce."""
    ours, theirs = DigestGuard(), DigestGuard()
    theirs.password = "other"
    servers = [await start(each.script) for each in (ours, theirs)]
    written = [
        servers[0].url,
        {"url": servers[1].url, "auth": {"digest": [USER, "other"]}},
        {"url": servers[0].url, "auth": {"bearer": "t"}},
    ]
    api = Opened(servers[0], kind, endpoints=written, url="")
    [plan] = plan_run([api.api], RunSettings(), {}).apis
    async with api.open() as [transport]:
        statuses = []
        for endpoint in (*plan.endpoints, *plan.endpoints):
            head = RequestHead("POST", endpoint.origin, "/", endpoint.headers, auth=endpoint.auth)
            statuses.append((await transport.send(Request(head, b"{}"), Attempt())).status)
    assert statuses == [200, 200, 401] * 2
    assert (ours.seen, theirs.seen) == (
        ["", "Digest", "Bearer", "Digest", "Bearer"],
        ["", "Digest", "Digest"],
    )

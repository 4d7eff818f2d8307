"""Whatever servers and cancellation do, a response is that to its own request."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cancelling import cancelled_after
from support.client import (
    TRANSPORTS,
    Client,
    TransportKind,
    descriptors_settle_at,
    open_descriptors,
)
from support.server import Peer, Server, response, serve
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response

WORKERS = 8
SOUND = ["answer", "large", "chunks", "pieces", "early", "last", "then close"]
BROKEN = ["excess", "cut", "reset", "nothing"]


class Call(NamedTuple):
    """What the server does with a request, and after how many steps it is cancelled, if at all."""

    behaviour: str
    cancel_after: int | None


calls = st.lists(
    st.builds(Call, st.sampled_from(SOUND + BROKEN), st.none() | st.integers(0, 12)),
    min_size=1,
    max_size=60,
)


async def misbehave(peer: Peer) -> None:
    """Act on each request as its body asks."""
    while (received := await peer.request()) is not None:
        behaviour = received.body.split(b" ")[1].decode()
        if behaviour in ("nothing", "reset"):
            if behaviour == "reset":
                peer.reset()
            return
        for piece in pieces(behaviour, received.body):
            await peer.send(piece)
            await wait_all_tasks_blocked()
        if behaviour in ("cut", "last", "then close"):
            return


def pieces(behaviour: str, body: bytes) -> Iterator[bytes]:
    whole = response(body)
    if behaviour == "chunks":
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        whole %= (len(body), body)
    elif behaviour == "excess":
        whole += response(b"stray")
    elif behaviour == "cut":
        whole = whole[:-1]
    elif behaviour == "last":
        whole = response(body, "Connection: close")
    elif behaviour == "early":
        yield b"HTTP/1.1 100 Continue\r\n\r\n"
    size = 25 if behaviour == "pieces" else len(whole)
    yield from (whole[at : at + size] for at in range(0, len(whole), size))


class Caller:
    """Makes calls, and checks the result of each."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def work(self, calls: Iterator[tuple[int, Call]]) -> None:
        for number, call in calls:
            nonce = b"%d %b " % (number, call.behaviour.encode())
            nonce += bytes(300_000 if call.behaviour == "large" else 0)
            await self._call(nonce, call)

    async def _call(self, nonce: bytes, call: Call) -> None:
        answer: Response | TransportError | None = None

        async def attempt() -> None:
            nonlocal answer
            try:
                answer = await self._client.send("POST", nonce)
            except TransportError as error:
                answer = error

        if call.cancel_after is None:
            await attempt()
        else:
            await cancelled_after(call.cancel_after, attempt)
        if isinstance(answer, Response):
            assert answer.body == nonce
            assert call.behaviour in SOUND
        elif isinstance(answer, TransportError):
            assert answer.stale or call.behaviour in BROKEN
        else:
            assert call.cancel_after is not None


async def call_all(kind: TransportKind, calls: list[Call]) -> None:
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, misbehave)
        before = open_descriptors()
        client = Client(kind, server.url)
        jobs = iter(list(enumerate(calls)))
        async with trio.open_nursery() as workers:
            for _ in range(WORKERS):
                workers.start_soon(Caller(client).work, jobs)
        assert (await client.send("POST", b"0 answer")).body == b"0 answer"
        await client.transport.aclose()
        assert await descriptors_settle_at(before)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", TRANSPORTS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(calls=calls)
def test_send_never_returns_the_response_to_another_request(
    kind: TransportKind, calls: list[Call]
) -> None:
    """Many concurrent requests, some cancelled, on a server that misbehaves."""
    trio.run(partial(call_all, kind, calls))

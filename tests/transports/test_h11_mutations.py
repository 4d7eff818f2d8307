"""Mutated HTTP/1.1 responses, over every transport but native, which has its own module.

Whatever a server sends, a request gets its own response or an error.
"""

from __future__ import annotations

import gzip
from contextlib import suppress
from random import Random

import pytest
import trio
from support.client import TRANSPORTS, OpenClient, TransportKind
from support.mutants import MUTATIONS, Nonces, all_of, mutant, outcome
from support.server import Peer, Received, StartServer, response
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.http.messages import Response

WORDS = [
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"0",
    b";x=y",
    b"\r\n folded",
    b"\r\nContent-Length: 5",
    b"\r\nContent-Length: 0",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nTransfer-Encoding: identity",
    b"\r\nConnection: close",
    b"\r\nContent-Encoding: gzip",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"\xff" * 50,
    b"x" * 70_000,
]


def sound(random: Random, nonce: bytes) -> bytes:
    """Return one of the many valid ways to send a body."""
    kind = random.randrange(6)
    chunks = b"%x\r\n%b\r\n%x;a=b\r\n%b\r\n0\r\n" % (5, nonce[:5], len(nonce) - 5, nonce[5:])
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    if kind == 0:
        return head + chunks + b"\r\n"
    if kind == 1:
        return head + chunks + b"X-Sum: 1\r\n\r\n"
    if kind == 2:
        return b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response(nonce)
    if kind == 3:
        return response(gzip.compress(nonce, mtime=0), "Content-Encoding: gzip")
    if kind == 4:
        return b"HTTP/1.1 200 OK\r\nX-Nonce: %b\r\n\r\n%b" % (nonce, nonce)
    return response(nonce, "X-Nonce: " + nonce.decode())


class Mutator:
    """A server of mutants, some of them followed by the response to an earlier request.

    Attributes:
        is_sound: whether the responses are valid.
        appended: the nonce of an earlier response appended to the last one, or none.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._before = b""
        self.is_sound = False
        self.appended = b""

    async def script(self, peer: Peer) -> None:
        received = await peer.request()
        while received:
            first, rest = self._in_two(self._answer(received.body))
            await peer.send(first)
            if rest:
                if await _next_request(peer):
                    return  # the rest would be the response to it
                await peer.send(rest)
            received = await _next_request(peer)

    def _answer(self, nonce: bytes) -> bytes:
        self.appended = b""
        if self.is_sound:
            return response(nonce)
        answer = mutant(self._random, sound(self._random, nonce), WORDS)
        if not self._random.randrange(8):
            self.appended = self._before
            answer += response(self.appended)
        self._before = nonce
        return answer

    def _in_two(self, answer: bytes) -> tuple[bytes, bytes]:
        at = self._random.randrange(len(answer) + 1) if self._random.randrange(2) else len(answer)
        return answer[:at], answer[at:]


async def _next_request(peer: Peer) -> Received | None:
    """Return the next request; None as well if the client waits for the rest of a mutant."""
    received: Received | None = None

    async def receive() -> None:
        nonlocal received
        with suppress(trio.BrokenResourceError):
            received = await peer.request()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()
    return received


@pytest.mark.parametrize("kind", [kind for kind in TRANSPORTS if kind != "native"])
async def test_send_survives_mutants(
    start: StartServer, client: OpenClient, kind: TransportKind
) -> None:
    """No crash, no hang, no response to another request; later requests are unharmed."""
    random = Random(f"{kind} {MUTATIONS}")
    mutator, nonces = Mutator(random), Nonces(random)
    server = await start(mutator.script)
    caller = client(server.url, max_response=1 << 16)
    succeeded = 0
    for number in range(MUTATIONS):
        mutator.is_sound = not number % 20
        nonce = nonces.make()
        answer = await outcome(caller.send, "POST", nonce)
        if isinstance(answer, Response):
            succeeded += 1
            own = (nonce, mutator.appended)
            assert not nonces.others_in(all_of(answer), own)
            assert answer.body == nonce or not mutator.is_sound
        else:
            assert answer.message.isprintable()
            assert answer.stale or not mutator.is_sound
        server.requests.clear()
    assert MUTATIONS // 20 < succeeded < MUTATIONS - MUTATIONS // 20

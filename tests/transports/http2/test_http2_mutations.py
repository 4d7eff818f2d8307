"""Mutated HTTP/2: several requests on a connection, and frames that are almost valid.

Whatever a server sends, each request gets its own response or an error.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from random import Random

import h2.errors
import trio
from support.client import Attempt, request_head
from support.http2_frames import data, frame, goaway, head, reset, setting, window_update
from support.mutants import MUTATIONS, Nonces, all_of, mutant, outcome
from support.server import Peer, Server, serve
from trio.testing import wait_all_tasks_blocked

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.http2.session import Session

AT_A_TIME = 3
WORDS = [
    frame(0, 0),
    frame(0, 99, b"stray", 1),
    frame(1, 99, b"\x88", 5),
    frame(2, 1, b"\0\0\0\0\x10"),
    frame(4, 0, b"", 1),
    frame(5, 1, b"\0\0\0\2\x88", 4),
    frame(6, 0, b"12345678"),
    frame(6, 0, b"12345678", 1),
    frame(8, 1, bytes(4)),
    frame(9, 1, b"", 4),
    frame(10, 0, b"\xff\xff"),
    frame(0xEE, 1, b"x" * 100, 0xFF),
    goaway(0),
    goaway(3),
    goaway(2**31 - 1),
    goaway(1, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM),
    reset(1, h2.errors.ErrorCodes.NO_ERROR),
    reset(3, h2.errors.ErrorCodes.REFUSED_STREAM),
    reset(5, h2.errors.ErrorCodes.CANCEL),
    setting(3, 0),
    setting(4, 0),
    setting(4, 2**31 - 1),
    setting(5, 0),
    setting(1, 0),
    window_update(0),
    window_update(2**31 - 1),
    head(1, [(":status", "103")]),
    head(3, [(":status", "100")], end=True),
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
]


def answer(random: Random, number: int, nonce: bytes) -> Iterator[bytes]:
    """Yield the frames of a response, in one of many ways."""
    fields = [(":status", "200"), ("x-nonce", nonce.decode())]
    kind = random.randrange(4)
    if kind == 0:
        fields.append(("content-length", str(len(nonce))))
    elif kind == 1:
        yield head(number, [(":status", "103"), ("link", "x")])
    yield head(number, fields)
    yield frame(0, number, nonce[:7])
    yield frame(0, number, nonce[7:]) if kind == 2 else data(number, nonce[7:])
    if kind == 2:
        yield head(number, [("x-sum", "1")], end=True)


def mutated(random: Random, parts: list[bytes]) -> list[bytes]:
    """Return the frames reordered, removed, repeated, changed, or with others among them.

    No frame gets the number of another request, whose answer it would then be.
    """
    parts = list(parts)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(parts) + 1)
        kind = random.randrange(6)
        if kind == 0:
            parts.insert(at, random.choice(WORDS))
        elif at == len(parts):
            continue
        elif kind == 1:
            del parts[at]
        elif kind == 2:
            parts.insert(random.randrange(len(parts)), parts[at])
        elif kind == 3:
            parts.insert(random.randrange(len(parts)), parts.pop(at))
        elif kind == 4:
            start, number, payload = parts[at][:5], parts[at][5:9], parts[at][9:]
            start = mutant(random, start, [b"\0", b"\xff"])[:5].ljust(5, b"\0")
            parts[at] = filled(start + number + payload)
        else:
            payload = mutant(random, parts[at][9:], [b"\0", b"\x88", b"\xff" * 9])
            parts[at] = filled(parts[at][:9] + payload)
    return parts


def filled(part: bytes) -> bytes:
    """Return a frame at least as long as it announces, so that it does not swallow others."""
    size = 9 + int.from_bytes(part[:3], "big")
    return part.ljust(min(size, 20_000), b"\0")


class Conversation:
    """Several requests on one connection, and a server's mutated responses."""

    def __init__(self, seed: int, nonces: Nonces) -> None:
        self._random = Random(seed)
        self._is_sound = not seed % 20
        self._nonces = nonces
        self.answers: list[Response | TransportError] = []

    async def serve(self, peer: Peer) -> None:
        """Run as the script of a server."""
        random = self._random
        parts = [setting(3, 100)]
        requests = Requests()
        while len(requests.bodies) < AT_A_TIME:
            if not (more := await peer.some()):
                return
            requests.feed(more)
            if parts:
                await peer.send(b"".join(parts))
                parts = []
        answers = [list(answer(random, n, body)) for n, body in requests.bodies.items()]
        while any(answers):  # each in its order, interleaved
            parts.append(random.choice([rest for rest in answers if rest]).pop(0))
        if not self._is_sound:
            parts = mutated(random, parts)
        whole = b"".join(parts)
        at = random.randrange(len(whole) + 1)
        for piece in (whole[:at], whole[at:]):
            await peer.send(piece)
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked(0.001)  # do not wait for what never comes

    async def call(self, session: Session) -> None:
        nonce = self._nonces.make()
        request = Request(request_head("https://a.test/"), nonce)
        got = await outcome(session.exchange, request, Attempt())
        if isinstance(got, Response):
            assert not self._nonces.others_in(all_of(got), [nonce])
            assert got.body == nonce or not self._is_sound
        else:
            assert got.message.isprintable()
            assert not self._is_sound
        self.answers.append(got)


class Requests:
    """The bodies of requests by stream number, parsed from frames."""

    def __init__(self) -> None:
        self.bodies: dict[int, bytes] = {}
        self._buffer = bytearray()

    def feed(self, more: bytes) -> None:
        self._buffer += more
        if self._buffer.startswith(b"PRI"):
            del self._buffer[:24]
        while len(self._buffer) >= 9:
            end = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < end:
                return
            if self._buffer[3] == 0:
                number = int.from_bytes(self._buffer[5:9], "big")
                self.bodies[number] = bytes(self._buffer[9:end])
            del self._buffer[:end]


async def converse(seed: int, nonces: Nonces, server: Server) -> list[Response | TransportError]:
    conversation = Conversation(seed, nonces)
    server.script = conversation.serve
    sock = socket.create_connection(("127.0.0.1", server.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    sock.setblocking(False)
    session = Session(sock, 1 << 16)
    try:
        with trio.fail_after(60):
            await session.open()
            async with trio.open_nursery() as requests:
                for _ in range(AT_A_TIME):
                    requests.start_soon(conversation.call, session)
    finally:
        session.close()
    return conversation.answers


async def converse_all() -> tuple[int, int]:
    """Return how many requests succeeded, and how many failed."""
    nonces, succeeded, failed = Nonces(Random(0)), 0, 0
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve, Peer.closed))
        for seed in range(MUTATIONS):
            try:
                answers = await converse(seed, nonces, server)
            except BaseException as exc:
                exc.add_note(f"seed {seed}")
                raise
            failures = sum(isinstance(answer, TransportError) for answer in answers)
            failed, succeeded = failed + failures, succeeded + len(answers) - failures
        nursery.cancel_scope.cancel()
    return succeeded, failed


def test_exchange_survives_mutants() -> None:
    """No crash, no hang, no response to another request."""
    succeeded, failed = trio.run(converse_all)
    assert succeeded > MUTATIONS // 2
    assert failed > MUTATIONS // 2

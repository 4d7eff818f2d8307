"""Memory: a run holds its window and the calls in flight, and nothing of finished calls.

The servers are in this process, so they keep nothing that they receive.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from h2.errors import ErrorCodes
from support.client import KEYS, TransportKind
from support.http2 import Stream, http2
from support.mutants import outcome
from support.server import Peer, Script, StartServer, response

from tmux_fanout import Api, fanout
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response

MB = 1 << 20
RECORDS = 60
WINDOW = 4 * MB
LIMIT = 2
# A request is built when its record is admitted, which is held as text and as bytes.
ROOM = 10 * WINDOW
ANSWER = bytes(MB)


def frugal(answer: bytes) -> Script:
    """Return a script: the same answer to each request, of which nothing is kept."""

    async def script(peer: Peer) -> None:
        while await _swallow(peer):
            await peer.send(answer)

    return script


async def _swallow(peer: Peer) -> bool:
    """Read a request to its end; return whether there was one."""
    tail = b""
    while b"\r\n\r\n" not in tail:
        more = await peer.stream.receive_some(65536)
        if not more:
            return False
        tail = tail[-200:] + more
    head, _, body = tail.partition(b"\r\n\r\n")
    _, _, after = head.lower().partition(b"content-length: ")
    left = int(after.split(b"\r\n")[0] or 0) - len(body) if after else 0
    while left > 0:
        left -= len(await peer.stream.receive_some(65536))
    return True


def large(count: int = RECORDS) -> Iterator[dict[str, Any]]:
    """Return records of 1 MB each, no two the same."""
    for number in range(count):
        yield {"i": number, "t": f"{number:06}" + "x" * (MB - 6)}


class Use:
    """The bytes allocated by Python objects in a block: at the peak, and at the end.

    The garbage collector is off, as it rarely runs in the command.
    """

    peak = 0
    kept = 0


@contextmanager
def measured() -> Iterator[Use]:
    use = Use()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield use
        use.kept, use.peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()


async def run(records: Iterator[Any], url: str, kind: TransportKind, **keys: Any) -> set[str]:
    """Return the kinds of all outcomes of a run."""
    api = Api("a", url, **{"limit": LIMIT, "breaker": False, **KEYS[kind], **keys})
    kinds: set[str] = set()
    async with fanout(records, [api], window_bytes=WINDOW, chunk_size=1) as results:
        async for result in results:
            error = result["a"].error
            kinds.add(error.kind if error else "ok")
    return kinds


@pytest.mark.parametrize("part", ["url", "header", "endpoint"])
async def test_run_keeps_no_request_with_a_record_in_it(
    start: StartServer, kind: TransportKind, part: str
) -> None:
    """Neither a cache nor a reference cycle holds it once it is answered."""
    server = await start(frugal(response(b"{}")))
    keys: dict[str, Any] = {"url": server.url + "{?t}", "method": "GET"}
    if part == "header":
        keys = {"url": server.url, "headers": {"X-T": "{t}"}}
    elif part == "endpoint":
        keys["url"], keys["endpoints"] = "/{?t}", [server.url, server.url + "v2"]
    await run(iter([{"t": ""}]), kind=kind, **keys)  # imported modules stay
    with measured() as use:
        assert await run(large(), kind=kind, **keys) == {"ok"}
    assert use.peak < ROOM
    assert use.kept < WINDOW


def cut(answer: bytes) -> Script:
    """Return a script: a partial response to each request, and then the end."""

    async def script(peer: Peer) -> None:
        await _swallow(peer)
        await peer.send(answer)

    return script


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * MB) + bytes(MB)
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + bytes(MB) + b"what?"


@pytest.mark.parametrize("answer", [HALF, ENDLESS], ids=["cut", "malformed"])
async def test_run_keeps_nothing_of_a_response_that_failed(
    start: StartServer, kind: TransportKind, answer: bytes
) -> None:
    """The error is kept, but not the contents of the frames that it passed."""
    server = await start(cut(answer))
    keys: dict[str, Any] = {"url": server.url, "retries": 0}
    await run(iter([0]), kind=kind, **keys)  # imported modules stay
    with measured() as use:
        assert await run(iter(range(RECORDS)), kind=kind, **keys) == {"protocol"}
    assert use.peak < ROOM
    assert use.kept < WINDOW


async def test_run_keeps_nothing_of_redirects(start: StartServer, kind: TransportKind) -> None:
    """Nor of their original requests, which may hold data of a record."""
    body = "x" * 50_000
    server = await start(frugal(response(b"", f"Location: /{body}", status="302 Found")))
    keys: dict[str, Any] = {"url": server.url + "{?t}", "method": "GET", "redirects": 1}
    await run(iter([{"t": ""}]), kind=kind, **keys)  # imported modules stay
    with measured() as use:
        assert await run(large(), kind=kind, **keys) == {"status"}
    assert use.peak < ROOM
    assert use.kept < WINDOW


async def test_session_keeps_nothing_of_what_is_done(connect: Callable[..., Any]) -> None:
    """HTTP/2: neither of a request nor of a response, complete or aborted."""

    async def handler(stream: Stream) -> None:
        is_whole = stream.body.startswith(b"whole")
        stream.body = b""
        del stream.link.streams[stream.number]
        await stream.head()
        await stream.data(ANSWER, end=is_whole)
        if not is_whole:
            await stream.refuse(ErrorCodes.INTERNAL_ERROR)

    _, client = await connect(http2(handler), max_response=2 * MB)
    client.head = msgspec.structs.replace(client.head, headers=(("x-large", "x" * 20_000),))
    await client.send("POST", b"whole")
    with measured() as use:
        for number in range(12):
            body = b"%b %d" % (b"whole" if number % 2 else b"half", number) + bytes(MB)
            answer = await outcome(client.send, "POST", body)
            assert isinstance(answer, Response) == bool(number % 2)
            if isinstance(answer, TransportError):
                answer.detached()  # as the engine does
    assert use.peak < ROOM
    assert use.kept < WINDOW

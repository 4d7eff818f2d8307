"""A plain-Python HTTP server on asyncio, for delayed responses and where nginx is missing.

    python benchmarks/twin.py --listeners 3 [--size BYTES] [--pem FILE] [--crowd N]
                              [--delay SECONDS [--alpha X --most SECONDS]]

It prints the ports that it listens on, and one more line each time N requests are waiting.  Each
request is answered after `--delay`.  With `--alpha`, delays have a Pareto tail of that exponent,
from `--delay` up to `--most`; they depend on the request alone.  The loop is uvloop's if that is
installed: the less CPU time the server needs, the better.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
import zlib
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

HAS_UVLOOP = find_spec("uvloop") is not None

_HEAD = b'{"score":0.93,"label":"ok"'
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Delay = Callable[[bytes], float]


def body_of(size: int) -> bytes:
    """Return a JSON object of `size` bytes, or the smallest one if that is longer."""
    text = b',"text":""}'
    room = size - len(_HEAD) - len(text)
    return _HEAD + text[:-2] + b"x" * room + text[-2:] if room > 0 else _HEAD + b"}"


def delay_of(least: float, alpha: float, most: float, request: bytes) -> float:
    """Return the seconds that the response to `request` takes."""
    if not alpha:
        return least
    share = (zlib.crc32(request) + 0.5) / 2**32
    tail: float = share ** (-1 / alpha)
    return min(least * tail, most)


class Crowd:
    """Counts the waiting requests, and prints a line when `size` of them wait."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting = 0

    def join(self) -> None:
        self._waiting += 1
        if self._waiting == self._size:
            print(self._size, flush=True)

    def leave(self) -> None:
        self._waiting -= 1


class Conversation(asyncio.Protocol):
    """One connection.  It relies on its clients to send whole requests, one at a time."""

    def __init__(self, reply: bytes, delay: Delay | None, crowd: Crowd) -> None:
        self._answer = reply
        self._delay = delay
        self._crowd = crowd
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        request, self._buffer = self._buffer, b""
        if self._delay:
            self._crowd.join()
            self._timer = self._loop.call_later(self._delay(request), self._reply_late)
        else:
            self._reply()

    def _reply_late(self) -> None:
        self._stop_waiting()
        self._reply()

    def _stop_waiting(self) -> None:
        self._timer = None
        self._crowd.leave()

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
            self._stop_waiting()


async def main(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    body = body_of(options.size)
    delay = partial(delay_of, options.delay, options.alpha, options.most)
    talk = partial(
        Conversation,
        _REPLY % (len(body), body),
        delay if options.delay else None,
        Crowd(options.crowd),
    )
    context = None
    if options.pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.pem)
    servers = [
        await loop.create_server(talk, "127.0.0.1", 0, backlog=4096, ssl=context)
        for _ in range(options.listeners)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def run(job: Coroutine[Any, Any, None]) -> None:
    if HAS_UVLOOP:
        import uvloop  # noqa: PLC0415 - it may not be installed

        uvloop.run(job)
    else:
        asyncio.run(job)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--listeners", type=int, default=3)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--pem")
    parser.add_argument("--crowd", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--alpha", type=float, default=0.0)
    parser.add_argument("--most", type=float, default=float("inf"))
    run(main(parser.parse_args()))

"""A plain-Python HTTP server on asyncio: for answers that take time, and where nginx is missing.

    python benchmarks/twin.py --listeners 3 [--delay SECONDS [--sigma X]]

Prints the ports that it listens on.  Each request is answered after `--delay`; with `--sigma`
delays are log-normal, `--delay` being their median, and depend on nothing but the request.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import zlib
from collections.abc import Callable
from functools import partial
from statistics import NormalDist

BODY = b'{"score":0.93,"label":"ok"}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Delay = Callable[[bytes], float]


def delay_of(seconds: float, sigma: float, request: bytes) -> float:
    """How long the answer to `request` takes."""
    if not sigma:
        return seconds
    share = (zlib.crc32(request) + 0.5) / 2**32
    return seconds * math.exp(sigma * NormalDist().inv_cdf(share))


class Conversation(asyncio.Protocol):
    """One connection.  It trusts its clients: they send whole requests, one at a time."""

    def __init__(self, delay: Delay | None) -> None:
        self._delay = delay
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        request, self._buffer = self._buffer, b""
        if self._delay:
            self._loop.call_later(self._delay(request), self._reply)
        else:
            self._reply()

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(REPLY)


async def main(listeners: int, delay: Delay | None) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(partial(Conversation, delay), "127.0.0.1", 0, backlog=4096)
        for _ in range(listeners)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--listeners", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    options = parser.parse_args()
    delay = partial(delay_of, options.delay, options.sigma) if options.delay else None
    asyncio.run(main(options.listeners, delay))

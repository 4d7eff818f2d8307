"""The server of `/metrics`: one request a connection, as scrapes come seconds apart.

It runs in the event loop of the run, so that what it reads does not change meanwhile; and it
answers a few connections at a time, each for a limited time, so that no client can hold up the run.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from io import BytesIO

import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.report.listening import Listening, parse_listening
from tmux_fanout.core.text import printable

_MAX_HEAD = 16 << 10  # bytes
_MAX_CLIENTS = 8
_TIMEOUT = 5.0  # seconds for one request and its response
_LINGER = 0.5  # seconds for the client to close

Refresh = Callable[[], Awaitable[None]]


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Listen at an address for the block.

    Raises:
        ConfigError: that is not possible.
    """
    where = parse_listening(address)
    try:
        listener = _listen_at_path(where.path) if where.path else _listen_at_port(where)
    except OSError as exc:
        why = os.strerror(exc.errno).lower() if exc.errno and exc.errno > 0 else exc.strerror
        shown = printable(repr(address))
        raise ConfigError(f"--metrics: cannot listen at {shown}: {why}: use another") from None
    try:
        yield listener
    finally:
        listener.close()
        if where.path:
            with suppress(OSError):
                os.unlink(where.path)


def _listen_at_port(where: Listening) -> socket.socket:
    found = socket.getaddrinfo(
        where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _listen_at_path(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left_behind(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _is_left_behind(path: str) -> bool:
    """Return whether a path is a socket that nobody listens at."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def url_of(listener: socket.socket) -> str:
    """Return where a listener is reached."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{printable(str(listener.getsockname()))}"
    host, port, *_ = listener.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"


@asynccontextmanager
async def served(
    listener: socket.socket, registry: CollectorRegistry, refresh: Refresh
) -> AsyncIterator[None]:
    """Serve metrics within the block.

    Args:
        listener: listens already.
        registry: of the metrics.
        refresh: brings what they are read from up to date.
    """
    listener.setblocking(False)
    # trio logs there, with a traceback, where there are too few descriptors for a connection.
    logging.getLogger("trio.serve_listeners").addHandler(logging.NullHandler())
    own = trio.SocketListener(trio.socket.from_stdlib_socket(listener.dup()))
    answer = partial(_answer, registry, refresh, trio.CapacityLimiter(_MAX_CLIENTS))
    async with trio.open_nursery(strict_exception_groups=True) as nursery:
        nursery.start_soon(partial(trio.serve_listeners, answer, [own]))
        yield
        nursery.cancel_scope.cancel()


async def _answer(
    registry: CollectorRegistry,
    refresh: Refresh,
    clients: trio.CapacityLimiter,
    stream: trio.abc.Stream,
) -> None:
    with trio.move_on_after(_TIMEOUT), suppress(trio.BrokenResourceError):
        async with clients:
            head = await _receive_head(stream)
            if head:
                await refresh()
                await stream.send_all(_response(registry, head))
                await _close(stream)


async def _receive_head(stream: trio.abc.Stream) -> bytes:
    """Return the head of a request; whatever is no head ends with the limit of its size."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
        data = await stream.receive_some(_MAX_HEAD)
        if not data:
            return b""
        head += bytes(data)
    return head


async def _close(stream: trio.abc.Stream) -> None:
    """Close without a reset, which could take the response with it."""
    if isinstance(stream, trio.abc.HalfCloseableStream):
        await stream.send_eof()
    with trio.move_on_after(_LINGER):
        while await stream.receive_some(_MAX_HEAD):
            pass


def _response(registry: CollectorRegistry, head: bytes) -> bytes:
    first, _, rest = head.partition(b"\r\n")
    words = first.split()
    try:
        headers = parse_headers(BytesIO(rest))
    except (HTTPException, ValueError):
        return _plain(HTTPStatus.BAD_REQUEST)
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _plain(HTTPStatus.BAD_REQUEST)
    method, target = words[0], words[1].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
    if target != b"/metrics":
        return _plain(HTTPStatus.NOT_FOUND)
    encode, media_type = choose_encoder(headers.get("Accept", ""))
    body = encode(registry)
    return _encode(HTTPStatus.OK, media_type, body, with_body=method == b"GET")


def _plain(status: HTTPStatus) -> bytes:
    text = f"{status.value}: metrics are at /metrics\n"
    return _encode(status, "text/plain; charset=utf-8", text.encode())


def _encode(status: HTTPStatus, media_type: str, body: bytes, *, with_body: bool = True) -> bytes:
    allow = "Allow: GET, HEAD\r\n" if status == HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{allow}Content-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")

"""Shortages on this machine: distinguished from server errors, and never a traceback."""

from __future__ import annotations

import errno
import socket
import ssl
import threading

import pytest
import trio
from support.client import (
    OpenClient,
    classify,
    descriptors_settle_at,
    open_descriptors,
)
from support.server import StartServer, answering, response

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.layers.oauth2 import Tokens
from tmux_fanout.transports.shortage import Shortage, shortage_of, worst_of

OK = answering(response(b"ok"))
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")


def errored(number: int) -> OSError:
    return OSError(number, "words")


@pytest.mark.parametrize(
    ("exc", "what"),
    [
        (errored(errno.EMFILE), "open files"),
        (errored(errno.ENFILE), "open files"),
        (errored(errno.ENOBUFS), "memory"),
        (errored(errno.ENOMEM), "memory"),
        (errored(errno.EAGAIN), "local ports"),
        (errored(errno.EADDRINUSE), "local ports"),
        (Shortage("threads", "no thread"), "threads"),
        (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), "memory"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), ""),
        (errored(errno.EADDRNOTAVAIL), ""),  # perhaps none of our addresses leads there
        (errored(errno.ENETUNREACH), ""),
        (REFUSED, ""),
        (UnicodeError("label too long"), ""),
    ],
)
def test_shortage_of_an_error(exc: Exception, what: str) -> None:
    """The resolver's error numbers are not confused with the system's."""
    assert shortage_of(exc) == what


def test_worst_of_errors_is_a_shortage() -> None:
    """An address that could not be tried may be alive, though another was refused."""
    short = errored(errno.EMFILE)
    assert worst_of([REFUSED, short]) is short
    assert worst_of([REFUSED, errored(errno.ENETUNREACH)]) is REFUSED


def fail_to_connect(monkeypatch: pytest.MonkeyPatch, number: int, kinds: set[int]) -> None:
    """Make connecting sockets of these kinds fail with an error number."""
    original = socket.socket.connect_ex

    def connect_ex(sock: socket.socket, address: object) -> int:
        return number if sock.type in kinds else original(sock, address)  # type: ignore[arg-type]

    def connect(sock: socket.socket, address: object) -> None:
        if sock.type in kinds:
            raise errored(number)

    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex, raising=False)
    monkeypatch.setattr(socket.socket, "connect", connect, raising=False)


@pytest.mark.parametrize(
    ("number", "what", "words"),
    [
        (errno.EADDRNOTAVAIL, "local ports", "no local port is left"),
        (errno.EAGAIN, "local ports", "resource temporarily unavailable"),
        (errno.ENOBUFS, "memory", "no buffer space available"),
    ],
)
async def test_connect_is_short_of_something(
    client: OpenClient, monkeypatch: pytest.MonkeyPatch, number: int, what: str, words: str
) -> None:
    """Such as a local port, reported as a failed server in apache/trafficserver#3751."""
    fail_to_connect(monkeypatch, number, {socket.SOCK_STREAM})
    before = open_descriptors()
    error = await client("http://127.0.0.1:9").failure()
    assert classify(error) == ("connect", "transient")
    assert (error.sent, error.shortage) == (False, what)
    assert error.message == f"cannot connect to 127.0.0.1:9: {words}"
    assert await descriptors_settle_at(before)


async def test_connect_without_an_address_of_ours_is_no_shortage(
    client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EADDRNOTAVAIL for UDP as well means no route, as with IPv6 switched off."""
    fail_to_connect(monkeypatch, errno.EADDRNOTAVAIL, {socket.SOCK_STREAM, socket.SOCK_DGRAM})
    error = await client("http://127.0.0.1:9").failure()
    assert (error.kind, error.shortage) == ("connect", "")


async def test_connect_is_short_of_files(
    client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left for a socket."""

    def no_file(*_: object) -> None:
        raise errored(errno.EMFILE)

    caller = client("http://127.0.0.1:9")
    monkeypatch.setattr(socket.socket, "__init__", no_file)
    error = await caller.failure()
    assert (error.kind, error.transient, error.shortage) == ("connect", True, "open files")


class Threads:
    """Threads of a process that can start none until `there_are_some` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, exc: BaseException) -> None:
        from trio._core import _thread_cache

        def start(_: threading.Thread) -> None:
            raise exc

        self._monkeypatch, self._start = monkeypatch, threading.Thread.start
        # It has no idle ones.
        monkeypatch.setattr(_thread_cache, "THREAD_CACHE", _thread_cache.ThreadCache())
        monkeypatch.setattr(threading.Thread, "start", start)

    def there_are_some(self) -> None:
        self._monkeypatch.setattr(threading.Thread, "start", self._start)


@pytest.mark.parametrize(
    ("exc", "what", "words"),
    [
        (RuntimeError("can't start new thread"), "threads", "no thread can be started"),
        (MemoryError(), "memory", "no memory is left"),
    ],
)
async def test_a_name_without_a_thread_to_look_it_up(
    start: StartServer,
    client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
    exc: BaseException,
    what: str,
    words: str,
) -> None:
    """The call fails, and the next one succeeds once there is a thread."""
    server = await start(OK)
    caller = client(f"http://localhost:{server.port}")
    threads = Threads(monkeypatch, exc)
    for _ in range(5):  # more than the threads of one name
        error = await caller.failure()
        assert classify(error) == ("connect", "transient")
        assert (error.sent, error.shortage) == (False, what)
        address = f"localhost:{server.port}"
        assert error.message == f"cannot connect to {address}: {words} to look up its name"
    threads.there_are_some()
    assert (await caller.send()).body == b"ok"


async def test_a_name_whose_look_up_runs_out_of_memory(
    client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the thread that looks it up."""
    numeric = socket.getaddrinfo

    def look_up(host: str, port: int, *, type: int, flags: int = 0) -> object:
        if flags & socket.AI_NUMERICHOST:
            return numeric(host, port, type=type, flags=flags)
        raise MemoryError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    error = await client("http://a.test").failure()
    assert (error.kind, error.shortage) == ("connect", "memory")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_shortage_is_passed_on_to_all_who_share_it(
    client: OpenClient, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Calls that share a look-up or a connection share the shortage."""
    Threads(monkeypatch, RuntimeError("can't start new thread"))
    caller = client(f"{scheme}://a.test", tls=ssl.create_default_context())
    shortages = []

    async def call() -> None:
        shortages.append((await caller.failure()).shortage)

    async with trio.open_nursery() as calls:
        for _ in range(3):
            calls.start_soon(call)
    assert shortages == ["threads"] * 3


async def test_a_shortage_at_the_token_endpoint_is_one_of_ours() -> None:
    """The fetching call waits until it is over, and so do those that wait for the token."""

    class Short:
        async def send(self, request: Request, progress: Progress) -> Response:
            await trio.lowlevel.checkpoint()
            raise TransportError("connect", "short", sent=False, transient=True, shortage="threads")

        async def aclose(self) -> None:
            """There is nothing to close."""

    tokens = Tokens(OAuth2(token_url="http://a.test/", client_id="me", client_secret="s"), Short())
    shortages = []

    async def get() -> None:
        with pytest.raises(TransportError) as caught:
            await tokens.get()
        shortages.append(caught.value.shortage)

    async with trio.open_nursery() as calls:
        for _ in range(3):
            calls.start_soon(get)
    assert shortages == ["threads"] * 3

"""A client that uses a transport as the engine does, one request at a time, without retries."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec
import pytest
import trio

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.routes.sockets import parse_api_url
from tmux_fanout.transports.base import Progress, Transport

if TYPE_CHECKING:
    from tmux_fanout.transports.native import NativeTransport

TransportKind = Literal["native", "begun", "httpx", "http2", "asks"]
# Those installed: asks is an extra, with a tox environment of its own.
TRANSPORTS: list[TransportKind] = ["native", "httpx", "http2"]
if find_spec("asks"):
    TRANSPORTS.append("asks")
# The configuration that selects each of them.
KEYS: dict[TransportKind, dict[str, Any]] = {
    "native": {"transport": "native"},
    "begun": {"transport": "native"},
    "httpx": {"transport": "httpx"},
    "http2": {"http2": True},
    "asks": {"transport": "asks"},
}

_HANGS = 60.0  # seconds; whatever takes longer would never end


class Attempt:
    """The progress of a request; see `transports.base.Progress`."""

    def __init__(self, fresh: bool = False) -> None:
        self.sent = False
        self.fresh = fresh
        self.connected_at = 0.0
        self.first_byte_at = 0.0


class Client:
    """A transport to one URL.

    Args:
        kind: which transport.
        url: where requests go.
        tls: for https.
        http1_tls: for https if the server does not want HTTP/2.
        connect_timeout: seconds.
        max_response: bytes.
        headers: of every request, in addition to the usual ones.
        more: further keys of the API.

    Attributes:
        head: of every request, except for the method.
        attempt: the progress of the last request.
    """

    def __init__(
        self,
        kind: TransportKind,
        url: str,
        tls: ssl.SSLContext | None = None,
        *,
        http1_tls: ssl.SSLContext | None = None,
        connect_timeout: float = 10.0,
        max_response: int = 1 << 20,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        head = request_head(url, *(headers or {}).items())
        api = Api("a", url, connect_timeout=connect_timeout, max_response=max_response, **more)
        plan = plan_run([api], RunSettings(), {}).apis[0]
        self.head = msgspec.structs.replace(head, origin=plan.origin)
        self.transport = make_transport(kind, plan, tls, http1_tls)
        self.attempt = Attempt()

    @property
    def idle(self) -> int:
        """Number of idle connections that the transport reports."""
        match = re.search(r"(\d+) idle", repr(self.transport))
        assert match
        return int(match[1])

    async def send(
        self, method: str = "GET", body: bytes | None = None, *, fresh: bool = False
    ) -> Response:
        """Make one attempt."""
        self.attempt = Attempt(fresh)
        head = msgspec.structs.replace(self.head, method=method)
        with trio.fail_after(_HANGS):
            return await self.transport.send(Request(head, body), self.attempt)

    async def failure(
        self, method: str = "GET", body: bytes | None = None, *, fresh: bool = False
    ) -> TransportError:
        """Make one attempt that must fail and report correctly whether it was sent."""
        with pytest.raises(TransportError) as caught:
            await self.send(method, body, fresh=fresh)
        error = caught.value
        # With TLS 1.3, what was sent before the server refuses us was not processed: not sent.
        assert error.sent == (self.attempt.sent and error.kind != "tls")
        assert error.message.isprintable()
        return error


class BegunTransport:
    """Native without tasks, even for the first attempt on a connection; needs `attend`.

    Args:
        native: makes the attempts.
    """

    def __init__(self, native: NativeTransport) -> None:
        self.native = native

    def __repr__(self) -> str:
        return repr(self.native)

    async def send(self, request: Request, progress: Progress) -> Response:
        answer = None if progress.fresh else await self._begin(request, progress)
        if answer is None:
            await self.connect(request.head.origin, progress)
            progress.fresh, fresh = False, progress.fresh
            answer = await self._begin(request, progress)
            progress.fresh = fresh
        if isinstance(answer, TransportError):
            raise answer
        assert answer
        return answer

    async def _begin(
        self, request: Request, progress: Progress
    ) -> Response | TransportError | None:
        answers: list[Response | TransportError] = []
        done = trio.Event()

        def answered(_: Progress, answer: Response | TransportError) -> float:
            answers.append(answer)
            done.set()
            return trio.current_time()

        while not self.native.is_attended:
            await trio.lowlevel.checkpoint()
        exchange = self.native.begin(request, progress, answered, trio.current_time())
        if exchange is None:
            return None
        try:
            await done.wait()
        except trio.Cancelled:
            exchange.cancel()
            raise
        return answers[0]

    async def attend(self) -> None:
        """Attend to the attempts that were begun, as the engine does."""
        await self.native.attend(lambda: None)

    async def connect(self, origin: Origin, progress: Progress) -> None:
        """Add a new connection to the pool, so that the first request on it has no task either."""
        self.native.keep(origin, await self.native.connect(origin, progress))

    async def aclose(self) -> None:
        await self.native.aclose()


OpenClient = Callable[..., Client]  # the arguments of `Client` without its kind


def request_head(url: str, *headers: tuple[str, str]) -> RequestHead:
    """Return the head of a GET."""
    origin, _, _ = parse_api_url(url)
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    usual = (("Host", origin.authority), ("User-Agent", "test/1"), ("Accept", "*/*"))
    return RequestHead("GET", origin, target, usual + headers)


def make_transport(
    kind: TransportKind,
    plan: ApiPlan,
    tls: ssl.SSLContext | None,
    http1_tls: ssl.SSLContext | None = None,
) -> Transport:
    if kind == "http2":
        from tmux_fanout.transports.http2.transport import Http2Transport

        return Http2Transport(plan, tls, http1_tls or tls)
    if kind == "httpx":
        from tmux_fanout.transports.foreign.httpx import HttpxTransport

        return HttpxTransport(plan, tls)
    if kind == "asks":
        from tmux_fanout.transports.foreign.asks import AsksTransport

        return AsksTransport(plan, tls)
    from tmux_fanout.transports.native import NativeTransport

    native = NativeTransport(plan, tls)
    return BegunTransport(native) if kind == "begun" else native


def classify(error: TransportError) -> tuple[str, str]:
    """Return an error in two words: its kind, and `transient`, `stale` or `final`."""
    assert error.transient or not error.stale
    return error.kind, "stale" if error.stale else "transient" if error.transient else "final"


def open_descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(os.listdir("/dev/fd"))


async def descriptors_settle_at(expected: int) -> bool:
    """Return whether that many are open soon; the server has to notice what the client closed."""
    for _ in range(30_000):
        if open_descriptors() == expected:
            return True
        await trio.sleep(0.001)
    return False

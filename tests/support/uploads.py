"""Servers that take uploads, over HTTP/1.1 and HTTP/2, and clients of every kind that send them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import h2.events
import httpx
import msgspec
import trio
from support.certificates import Certificates
from support.client import Attempt, make_transport, request_head
from support.http2 import Link, Stream, http2_contexts
from support.server import Peer, Server, response, serve

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.uploads.form import CONTENT_TYPE, Field, File, Upload
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.foreign.client import ClientTransport
from tmux_fanout.transports.layers.uploads import UploadTransport

Kind = Literal["native", "tls", "httpx", "http2", "client"]
KINDS: tuple[Kind, ...] = ("native", "tls", "httpx", "http2", "client")
BOUNDARY = "b" * 40


class Taken:
    """A request as far as it was received.

    Attributes:
        headers: names in lower case.
        size: bytes of the body so far.
        is_whole: whether that is all of it.
        is_answered: whether it was answered before that.
        digest: of the body so far.
        start: its first bytes.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.size = 0
        self.is_whole = self.is_answered = False
        self.digest = sha256()
        self.start = b""

    def take(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)
        self.start = (self.start + data)[:4096]


class Sink:
    """What a server receives, and when it does what.

    Attributes:
        requests: in their order.
        answers: to the requests, the last one again and again; as status and body.
        middle: called once, when a body has begun to arrive.
        more_headers: of the answers over HTTP/1.1.
        stops: whether the server answers at that time, and reads no more.
    """

    def __init__(self) -> None:
        self.requests: list[Taken] = []
        self.answers: list[tuple[int, bytes]] = [(200, b"{}")]
        self.middle: Callable[[], object] | None = None
        self.begun = trio.Event()
        self.stops = False
        self.more_headers: tuple[str, ...] = ()

    def take(self, request: Taken, data: bytes) -> None:
        request.take(data)
        if data:
            self.begun.set()
            middle, self.middle = self.middle, None
            if middle:
                middle()

    def answer(self) -> tuple[int, bytes]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def script(self, peer: Peer) -> None:
        """Serve one connection over HTTP/1.1."""
        while (head := await peer.head()) is not None:
            request = Taken(head.headers)
            self.requests.append(request)
            length = int(head.headers["content-length"])
            while request.size < length and not self.stops:
                data = await peer.some()
                if not data:
                    return
                self.take(request, data)
            request.is_whole = request.size == length
            status, body = self.answer()
            await peer.send(response(body, *self.more_headers, status=f"{status} Whatever"))
            if not request.is_whole:
                await trio.sleep_forever()

    async def http2(self, peer: Peer) -> None:
        """Serve one connection over HTTP/2."""
        await _Link(self, peer).run(self._whole)

    async def _whole(self, stream: Stream) -> None:
        status, body = self.answer()
        await stream.answer(body, status=status)


class _Link(Link):
    def __init__(self, sink: Sink, peer: Peer) -> None:
        super().__init__(peer, 100)
        self._sink = sink
        self._taken_by: dict[int, Taken] = {}

    def _taken(self, event: h2.events.Event) -> Stream | None:
        stream = super()._taken(event)
        number: Any = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self._taken_by[number] = Taken(dict(self.streams[number].headers))
            self._sink.requests.append(self._taken_by[number])
        elif isinstance(event, h2.events.DataReceived):
            self.streams[number].body = b""  # it may be long
            taken = self._taken_by[number]
            self._sink.take(taken, event.data or b"")
            if self._sink.stops and not taken.is_answered:
                taken.is_answered = True
                return self.streams[number]
        elif isinstance(event, h2.events.StreamEnded):
            self._taken_by[number].is_whole = True
        return stream


class Sender:
    """A transport with the layer for uploads.

    Attributes:
        server: where it sends to.
        layer: the layer.
    """

    def __init__(self, server: Server, transport: Transport) -> None:
        self.server = server
        self.layer = UploadTransport(transport, lambda: BOUNDARY)

    async def send(self, upload: Upload, attempt: Attempt | None = None) -> Response:
        """Make one attempt."""
        head = msgspec.structs.replace(
            request_head(self.server.url, ("Content-Type", CONTENT_TYPE)), method="POST"
        )
        with trio.fail_after(120):
            return await self.layer.send(Request(head, upload), attempt or Attempt())


@asynccontextmanager
async def sender(kind: Kind, sink: Sink, certificates: Certificates) -> AsyncIterator[Sender]:
    """Run a server and a client of it."""
    tls = None
    of_server, of_client = http2_contexts(certificates)
    if kind == "http2":
        tls = of_server
    elif kind == "tls":
        tls = certificates.server()
    script = sink.http2 if kind == "http2" else sink.script
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, script, tls))
        client = httpx.AsyncClient(trust_env=False, timeout=None) if kind == "client" else None
        of_kinds: dict[Kind, dict[str, Any]] = {
            "http2": {"http2": True},
            "httpx": {"transport": "httpx"},
            "client": {"client": client},
        }
        keys = of_kinds.get(kind, {"transport": "native"})
        plan = plan_run([Api("a", server.url, **keys)], RunSettings(), {}).apis[0]
        transport: Transport
        if client:
            transport = ClientTransport(plan)
        else:
            name: Any = "native" if kind == "tls" else kind
            of_kind = {"http2": of_client, "tls": certificates.client()}.get(kind)
            transport = make_transport(name, plan, of_kind)
        try:
            yield Sender(server, transport)
        finally:
            with trio.CancelScope(shield=True):
                await transport.aclose()
                if client:
                    await client.aclose()
        nursery.cancel_scope.cancel()


def sparse(path: Path, size: int) -> Path:
    """Return a file of zeros that takes no room."""
    path.touch()
    os.truncate(path, size)
    return path


def upload_of(path: Path, *others: str, root: Path | None = None) -> Upload:
    """Return a form with a field and a file, and further files beside that."""
    parts: list[Field | File] = [Field("title", b"t")]
    for name in (path.name, *others):
        parts.append(File("doc", name, (name,), "application/pdf", name))
    return Upload(parts, str(root or path.parent))

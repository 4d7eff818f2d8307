"""A run without sockets: scripted transports, a list for input, a list for output.

With trio's MockClock a test is a line of data and an exact assertion about virtual time.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple

import msgspec
import trio

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import OutputError, TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.core.tracing.spans import Span
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.engine.run.backend import Hooks
from tmux_fanout.engine.run.local import LocalBackend
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_backend
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.transports.base import P, Progress


class Answer(NamedTuple):
    """The result of one attempt: after `delay` seconds a status, or a failure."""

    delay: float = 0.0
    status: int = 200
    failure: TransportError | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None  # None: the record
    connect: float = 0.0  # seconds before the first byte is sent


Script = Callable[[Any, int], Answer]
"""Return the answer to a record's value and the number of its attempt, from 1."""


class ScriptedTransport:
    """A transport that follows a script, and counts what a server would.

    Attributes:
        peak: maximum number of attempts in flight.
        sent_at: time and value of each attempt.
        urls: URL of each attempt.
        closed: whether it was closed.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._attempts: dict[bytes, int] = {}
        self._flights: set[object] = set()
        self.peak = 0
        self.sent_at: list[tuple[float, Any]] = []
        self.urls: list[str] = []
        self.closed = False

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def fly(self) -> object:
        """Count an attempt as in flight; return a token for `land`."""
        flight = object()
        self._flights.add(flight)
        self.peak = max(self.peak, self.in_flight)
        return flight

    def land(self, flight: object) -> None:
        """Count an attempt as ended, if it was in flight."""
        self._flights.discard(flight)

    async def send(self, request: Request, progress: Progress) -> Response:
        flight = self.fly()
        try:
            return await self.play(request, progress)
        finally:
            self.land(flight)

    async def play(self, request: Request, progress: Progress) -> Response:
        """Follow the script for one attempt."""
        attempt = self._attempts[request.content] = self._attempts.get(request.content, 0) + 1
        value = msgspec.json.decode(request.content or b"null")
        self.sent_at.append((trio.current_time(), value))
        self.urls.append(request.head.url)
        answer = self._script(value, attempt)
        await trio.sleep(answer.connect)
        progress.sent = True
        await trio.sleep(answer.delay)
        if answer.failure:
            progress.sent = answer.failure.sent
            raise answer.failure
        body = answer.body if answer.body is not None else request.content
        return Response(answer.status, answer.headers, body, len(body))

    async def aclose(self) -> None:
        self.closed = True


class TasklessScripted(ScriptedTransport):
    """A scripted transport whose attempts need no task, as on open connections."""

    _nursery: trio.Nursery | None = None

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Begun | None:
        if self._nursery is None or progress.fresh:
            return None
        progress.sent = True
        begun = Begun(self)

        async def make() -> None:
            answer: Response | TransportError
            with begun.scope:
                try:
                    answer = await self.play(request, progress)
                except TransportError as failure:
                    answer = failure
            begun.land()
            if not begun.scope.cancel_called:
                answered(progress, answer)
                await trio.lowlevel.checkpoint_if_cancelled()
                self._passed()

        self._nursery.start_soon(make)
        return begun

    async def attend(self, passed: Callable[[], object]) -> None:
        self._passed = passed
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None


class Begun:
    """A handle on an attempt without a task; once cancelled, it is not in flight."""

    def __init__(self, transport: ScriptedTransport) -> None:
        self.scope = trio.CancelScope()
        self._transport = transport
        self._flight = transport.fly()

    def land(self) -> None:
        self._transport.land(self._flight)

    def cancel(self) -> None:
        self.scope.cancel()
        self.land()


class ListSource:
    """A source of chunks of values, each after a delay in seconds."""

    def __init__(self, chunks: Sequence[tuple[float, Sequence[Any]]], ahead: Sequence[Any] = ()):
        self._chunks = list(chunks)
        self._ahead = list(ahead)
        self._count = 0

    async def next_chunk(self) -> list[Record]:
        if not self._chunks:
            await trio.lowlevel.checkpoint()
            return []
        delay, values = self._chunks[0]
        await trio.sleep(delay)
        del self._chunks[0]
        return self._records(values)

    def read_ahead(self) -> list[Record]:
        return self._records(self._ahead)

    def total(self) -> Total | None:
        return None

    def _records(self, values: Sequence[Any]) -> list[Record]:
        first = self._count
        self._count += len(values)
        return [record_of(first + i, value) for i, value in enumerate(values)]


class ListSink:
    """A sink that keeps results; it takes `delay` seconds per batch, or breaks after some."""

    def __init__(self, *, delay: float = 0.0, breaks: OutputError | None = None, after: int = 0):
        self.results: list[Result] = []
        self.written_at: list[float] = []
        self.hurried_at = math.inf
        self.patience = math.inf
        self._delay = delay
        self._breaks = breaks
        self._after = after

    async def put(self, results: Sequence[Result]) -> None:
        await trio.sleep(self._delay)
        if self._breaks and len(self.results) >= self._after:
            raise self._breaks
        self.results += results
        self.written_at += [trio.current_time()] * len(results)

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()

    def hurry(self, patience: float) -> None:
        self.hurried_at = min(self.hurried_at, trio.current_time())
        self.patience = patience

    @property
    def indexes(self) -> list[int]:
        return [result.index for result in self.results]


class Scenario:
    """A run with scripted transports.

    Args:
        scripts: by API name.
        values: records, all available at the start.
        source: a source in place of `values`.
        sink: where results go, by default a `ListSink`.
        api: settings of every API.
        each: settings of some APIs, by name.
        notify: called with one-line notices.
        watch_head: as for `Pipeline`.
        transport: makes the transport for each script.
        stretched_to: maximum number of records in the window while slots would be idle, if it
            differs from the settings.
        is_shared: whether the run has a share of its limits only, at first none.
        export: takes the spans of the run, or None.
        settings: settings of the run.

    Attributes:
        share: that share, or None.
        backends: those that were opened, each with its callers.
    """

    def __init__(
        self,
        scripts: dict[str, Script],
        values: Sequence[Any] = (),
        *,
        source: ListSource | None = None,
        sink: ListSink | None = None,
        api: dict[str, Any] | None = None,
        each: dict[str, dict[str, Any]] | None = None,
        notify: Callable[[str], None] = lambda _: None,
        watch_head: bool = False,
        transport: Callable[[Script], ScriptedTransport] = ScriptedTransport,
        stretched_to: int | None = None,
        is_shared: bool = False,
        export: Callable[[Span], None] | None = None,
        **settings: Any,
    ) -> None:
        own = {name: {**(api or {}), **(each or {}).get(name, {})} for name in scripts}
        apis = [Api(name, **{"url": "http://api.test/", **own[name]}) for name in scripts]
        plan = plan_run(apis, RunSettings(**settings), {})
        if stretched_to is not None:
            plan = msgspec.structs.replace(plan, stretched_window=stretched_to)
        self.plan = plan
        self.transports = {name: transport(script) for name, script in scripts.items()}
        self.sink = sink or ListSink()
        self.source = source or ListSource([(0.0, values)] if values else [])
        self.backends: list[LocalBackend] = []
        self._export = export
        self.share = Share(plan) if is_shared else None
        self.run = Pipeline(
            self.plan,
            self.source,
            self.sink,
            self._open_backend,
            notify=notify,
            watch_head=watch_head,
        )

    @asynccontextmanager
    async def _open_backend(self, hooks: Hooks) -> AsyncIterator[LocalBackend]:
        opener = local_backend(
            self.plan,
            list(self.transports.values()),
            LocalOptions(random=Random(0), share=self.share, export=self._export),
        )
        async with opener(hooks) as backend:
            assert isinstance(backend, LocalBackend)
            self.backends.append(backend)
            yield backend

    async def play(self) -> list[Result]:
        """Run to the end; return the results in the order of the output."""
        await self.run.run()
        return self.sink.results

    @property
    def lines(self) -> list[bytes]:
        return list(map(envelope_encoder(list(self.transports)), self.sink.results))

    def errors(self, name: str) -> list[str | None]:
        """Return the kind of one API's error for each record, None where it is ok."""
        outcomes = [result[name] for result in self.sink.results]
        return [outcome.error.kind if outcome.error else None for outcome in outcomes]


def answers(*sequence: Answer) -> Script:
    """Return a script with an answer for each attempt of a record; the last one repeats."""
    return lambda value, attempt: sequence[min(attempt, len(sequence)) - 1]

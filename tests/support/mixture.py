"""Runs that share, cache, compress, page, poll, follow redirects, batch and hedge, all at once.

A random number generator chooses which APIs do what, what their servers answer, and what stops the
run.  Records repeat each other, so that there is something to share.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, cast
from unittest.mock import patch

import trio
import trio.testing
from support.scripted import (
    Answer,
    Begun,
    ListSink,
    ListSource,
    Scenario,
    Script,
    ScriptedTransport,
    TasklessScripted,
)
from support.witness import callers, check_nothing_is_held

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.compression.gzip import is_compressed, plain
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Attempt
from tmux_fanout.engine.calls.reuse import store
from tmux_fanout.engine.calls.reuse.stored import CacheError, Stored
from tmux_fanout.transports.base import P, Progress

_MAX_SECONDS = 1e6  # of virtual time, more than any of these runs takes
_PAGES = 3

_FAULTS = [
    Answer(0.1, 500),
    Answer(0.1, 404),
    Answer(0.1, 401),
    Answer(0.2, 503, headers=((b"retry-after", b"2"),)),
    Answer(0.1, 429),
    Answer(1000.0),
    Answer(0.1, body=b"<html>"),
    Answer(failure=TransportError("connect", "refused", sent=False, transient=True)),
    Answer(0.2, failure=TransportError("protocol", "lost", sent=True, transient=True)),
    Answer(0.1, failure=TransportError("too_large", "endless", sent=True)),
    Answer(
        failure=TransportError(
            "connect", "short", sent=False, transient=True, shortage="open files"
        )
    ),
]


class Server:
    """The server of one API, which faults, redirects, and may not read what is compressed.

    Args:
        random: source of every random choice.
        kind: of the API.

    Attributes:
        requests: number of requests that it got.
        applied: how often each value was, or may have been, applied.
        wrong: what it saw that no server should see.
    """

    def __init__(self, random: Random, kind: str) -> None:
        self._random = random
        self._kind = kind
        self._faults = random.sample(_FAULTS, 3)
        self._share = random.choice([0.0, 0.1, 0.4])
        self._delay = random.choice([0.0, 0.1, 0.5])
        self._reads_gzip = random.choice([1.0, 1.0, 0.0, 0.5])
        self._polls: Counter[int] = Counter()
        self.requests = 0
        self.applied: Counter[int] = Counter()
        self.wrong: list[str] = []

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request."""
        self.requests += 1
        if is_compressed(request):
            if self._random.random() >= self._reads_gzip:
                return Answer(self._delay, 415)
            request = plain(request)
        if self._random.random() < self._share:
            return self._random.choice(self._faults)
        delay = self._delay * self._random.random()
        if self._kind == "hosts" and self._random.random() < 0.3:
            return Answer(
                delay, self._random.choice([302, 303, 307]), headers=(_location(request),)
            )
        return Answer(delay, body=json.dumps(self._body(request)).encode())

    def look_at(self, request: Request, progress: Progress) -> None:
        """Check that a request is sound, and that somebody waits for its answer."""
        call = cast(Attempt, progress).call
        if all(each.outcome for each in call.members or [call]):
            self.wrong.append(f"{call} went at {trio.current_time()}, and nobody waits for it")
        if "gzip" in dict(request.head.headers).values() and not is_compressed(request):
            self.wrong.append(f"{request} is plain, and says that it is not")

    def _body(self, request: Request) -> Any:
        sent = json.loads(request.content or b"null")
        if self._kind == "batch":
            return [{"n": each["n"]} for each in sent]
        if self._kind == "pages":
            page = int(dict(_query(request)).get("page", 1))
            return {"items": [value_of(request)] * 2, "next": page + 1 if page < _PAGES else None}
        if self._kind == "poll":
            if request.head.method == "POST":
                return {"job": sent["n"]}
            self._polls[value_of(request)] += 1
            is_done = self._polls[value_of(request)] % 2 == 0
            return {"n": value_of(request), "done": is_done}
        return {"n": value_of(request)}


def _query(request: Request) -> Iterator[tuple[str, str]]:
    for pair in request.head.target.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        yield name, value


def _location(request: Request) -> tuple[bytes, bytes]:
    host = request.head.origin.host.replace("h", "g", 1)
    return b"location", f"http://{host}{request.head.target}".encode()


def value_of(request: Request) -> int:
    """Return what a request is about, by its path."""
    return int(request.head.target.partition("?")[0].rpartition("/")[2])


class MixedTransport(ScriptedTransport):
    """A transport to a `Server`."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.server = cast(Server, script)

    async def send(self, request: Request, progress: Progress) -> Response:
        self.server.look_at(request, progress)
        return await super().send(request, progress)

    async def play(self, request: Request, progress: Progress) -> Response:
        answer = self.server.answer(request)
        await trio.sleep(answer.connect)
        progress.sent = True
        await trio.sleep(answer.delay)
        if answer.failure:
            progress.sent = answer.failure.sent
            raise TransportError(**vars_of(answer.failure))
        body = b"null" if answer.body is None else answer.body
        return Response(answer.status, answer.headers, body, len(body))


class TasklessMixed(MixedTransport, TasklessScripted):
    """The same for attempts that need no task."""

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Begun | None:
        begun = super().begin(request, progress, answered, now)
        if begun is not None:
            self.server.look_at(request, progress)
        return begun


def vars_of(failure: TransportError) -> dict[str, Any]:
    """Return the arguments of a failure, as the engine may change what is raised."""
    names = ("kind", "message", "sent", "transient", "stale", "shortage")
    return {name: getattr(failure, name) for name in names}


class MemoryFile:
    """The file of a cache, in memory; it may fail."""

    salt = b"salt"

    def __init__(self, fails_at: float = math.inf) -> None:
        self._answers: dict[bytes, Stored] = {}
        self._fails_at = fails_at  # which exchange
        self._exchanges = 0

    def exchange(
        self,
        now: float,
        stored: Mapping[bytes, bytes],
        used: Sequence[bytes],
        keys: Sequence[bytes],
    ) -> dict[bytes, Stored | None]:
        self._exchanges += 1
        if self._exchanges >= self._fails_at:
            raise CacheError("the disk is full")
        self._answers |= {key: Stored(now, answer) for key, answer in stored.items()}
        return {key: self._answers.get(key) for key in keys}

    def close(self) -> None:
        """Do nothing."""


@contextmanager
def virtual_caches(seconds: float, make: Callable[[], MemoryFile] = MemoryFile) -> Iterator[None]:
    """Have caches be in memory, and threads take so many seconds of virtual time."""
    files: dict[str, MemoryFile] = {}

    async def run_sync(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await trio.sleep(seconds)
        return function(*args)

    async def open_file(folder: str, max_size: int) -> MemoryFile:
        await trio.lowlevel.checkpoint()
        if folder not in files:
            files[folder] = make()
        return files[folder]

    with (
        patch.object(trio.to_thread, "run_sync", run_sync),
        patch.object(store, "_open", open_file),
    ):
        yield


def _api(random: Random, kind: str, before: Sequence[str]) -> dict[str, Any]:
    choice, happens = random.choice, random.random
    api: dict[str, Any] = {
        "url": "http://h.test/v/{n}",
        "body": "{n: n, pad: pad}",
        "limit": choice([1, 2, 5, 40]),
        "rate": choice([None, None, "40/s"]),
        "retries": choice([0, 1, 3]),
        "attempt_timeout": choice([0.5, 5.0]),
        "timeout": choice([1.0, 30.0]),
        "breaker": choice([None, False, {"failures": 1, "open": 0.5, "max_open": 2, "wait": 3}]),
        "share": happens() < 0.6,
        "compress": choice([None, "gzip"]),
        "traceparent": happens() < 0.2,
        "idempotent": choice([True, False]),
    }
    if happens() < 0.4:
        api["cache"] = {"dir": choice(["one", "two"]), "ttl": "1h"}
    if happens() < 0.2 and kind != "hosts":
        api |= choice([{"cost": "`1`"}, {"price": {"call": "0.01"}}])
    if happens() < 0.2:
        api |= choice([{"ok_when": "!(n == `2`)"}, {"retry_when": "n == `1`"}])
    if before and happens() < 0.3:
        api["after"] = random.sample(before, random.randint(1, len(before)))
    return api | _of_kind(random, kind)


def _of_kind(random: Random, kind: str) -> dict[str, Any]:
    choice = random.choice
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "hosts": {
            "url": "http://{h}.test/v/{n}",
            "hosts": ["*.test"],
            "host_limit": choice([1, 8]),
            "redirects": choice([0, 1, 5]),
        },
        "pages": {
            "url": "http://h.test/v/{n}{?none}",
            "method": choice(["GET", "PUT"]),
            "pages": {"next": "next", "param": "page", "items": "items"},
        },
        "poll": {"poll": {"url": "/v/{_submitted.job}", "until": "done", "every": 0.2}},
        "batch": {"url": "http://h.test/v/0", "batch": {"size": random.randint(1, 5)}},
        "endpoints": {
            "url": "/v/{n}",
            "endpoints": ["http://one.test", "http://two.test"],
            "balance": choice(["least-in-flight", "round-robin", "failover"]),
        },
        "hedged": {"hedge": choice([0.05, "p95", "head"]), "idempotent": True},
    }
    return kinds[kind]


KINDS = ("plain", "hosts", "pages", "poll", "batch", "endpoints", "hedged")


class Mixture:
    """A random run.

    Args:
        random: source of every random choice.
    """

    def __init__(self, random: Random) -> None:
        choice = random.choice
        self._random = random
        names = ["a", "b", "c"][: random.randint(1, 3)]
        self.kinds = {name: choice(KINDS) for name in names}
        self.each = {
            name: _api(random, self.kinds[name], names[:index]) for index, name in enumerate(names)
        }
        if len(names) > 1 and random.random() < 0.3 and "after" not in self.each[names[-1]]:
            self.each[names[-1]] |= {"fallback_of": "a"}
            self.each["a"] |= {"idempotent": True}
        self.count = choice([1, 8, 40, 120])
        distinct, pad = choice([1, 2, 5, self.count]), choice(["", "x" * 1500])
        self.values: list[dict[str, Any]] = [
            {"id": n, "n": n % distinct, "h": f"h{n % distinct % 4}", "pad": pad}
            for n in range(self.count)
        ]
        heads = [name for name in names if "fallback_of" not in self.each[name]]
        self.settings: dict[str, Any] = {
            "join": choice(["all", "all", "first", "best-effort:300ms"]),
            "total_limit": choice([None, 1, 3]),
            "window": choice([1, 7, 50]),
            "window_bytes": choice([1, 3000, 1 << 20]),
            "unordered": random.random() < 0.3,
            "timings": random.random() < 0.3,
            "deadline": choice([None, None, None, 0.7, 5.0]),
            "max_failures": choice([None, None, 3]),
            "drain_timeout": choice([0.5, 5.0]),
        }
        self.names = heads
        self.drain_at = choice([None] * 4 + [0.3, 2.0])
        self.abort_at = choice([None] * 4 + [0.5, 3.0])
        self.servers = {name: Server(random, kind) for name, kind in self.kinds.items()}
        size = choice([1, 10, self.count])
        chunks = [self.values[start : start + size] for start in range(0, self.count, size)]
        self.scenario = Scenario(
            cast("dict[str, Script]", self.servers),
            source=ListSource([(choice([0.0, 0.0, 0.2]), chunk) for chunk in chunks]),
            sink=ListSink(delay=choice([0.0, 0.0, 0.3])),
            each=self.each,
            transport=choice([MixedTransport, TasklessMixed]),
            watch_head=random.random() < 0.3,
            **self.settings,
        )

    def __repr__(self) -> str:
        stops = {"drain_at": self.drain_at, "abort_at": self.abort_at}
        return f"<Mixture: {self.count} records, {self.each}, {self.settings}, {stops}>"

    def play(self) -> None:
        """Run to the end in virtual time; raise AssertionError if a promise is broken."""
        clock = trio.testing.MockClock(autojump_threshold=0)
        choice = self._random.choice
        file = partial(MemoryFile, choice([math.inf, math.inf, 3]))
        with virtual_caches(choice([0.0, 0.01, 0.7]), file):
            trio.run(self._play, clock=clock, strict_exception_groups=True)
        self._check()

    async def _play(self) -> None:
        run = self.scenario.run
        tasks = trio.lowlevel.current_statistics().tasks_living
        with trio.fail_after(_MAX_SECONDS):
            async with trio.open_nursery() as nursery:
                for time, stop in ((self.drain_at, run.drain), (self.abort_at, run.abort)):
                    if time is not None:
                        nursery.start_soon(self._stop_at, time, stop)
                await self.scenario.play()
                nursery.cancel_scope.cancel()
        assert trio.lowlevel.current_statistics().tasks_living == tasks

    async def _stop_at(self, time: float, stop: Callable[[Ending], None]) -> None:
        await trio.sleep(time)
        stop(Ending.SIGINT)

    def _check(self) -> None:
        stats, indexes = self.scenario.run.statistics, self.scenario.sink.indexes
        in_order = sorted(indexes) if self.settings["unordered"] else indexes
        assert in_order == list(range(len(indexes)))
        assert stats.read == stats.written == stats.ok + stats.errors.total() == len(indexes)
        is_whole = self.scenario.run.ending is Ending.FINISHED
        if is_whole:
            assert len(indexes) == self.count
            assert ", 0 bytes>" in repr(self.scenario.run)  # of the window
        for caller, counted in zip(callers(self.scenario), stats.apis):
            check_nothing_is_held(caller)
            name = caller.plan.name
            transport = cast(MixedTransport, self.scenario.transports[name])
            assert not transport.server.wrong
            assert transport.in_flight == counted.in_flight == 0
            assert transport.peak <= caller.plan.limit
            assert transport.server.requests <= counted.attempts + self._repeated(name)
            if is_whole:
                assert caller.sharing is None or repr(caller.sharing).startswith("<Sharing: 0 req")
                assert caller.statistics().waiting == 0
        for name in self.names:
            self._check_outcomes(name)

    def _repeated(self, name: str) -> int:
        """Return how many requests may go beside the attempts that are counted."""
        has_repeats = self.each[name]["compress"] or self.kinds[name] == "hosts"
        return 10**9 if has_repeats or self._is_short(name) else 0

    def _is_short(self, name: str) -> bool:
        faults = self.servers[name]._faults
        return any(each.failure and each.failure.shortage for each in faults)

    def _check_outcomes(self, name: str) -> None:
        counted: ApiStatistics = next(
            each for each in self.scenario.run.statistics.apis if each.name == name
        )
        outcomes = [result[name] for result in self.scenario.sink.results]
        if not any(each.get("fallback_of") == name for each in self.each.values()):
            assert counted.shared == sum(outcome.shared for outcome in outcomes)
            assert counted.cached == sum(
                outcome.cached and not outcome.shared for outcome in outcomes
            )
        for result, outcome in zip(self.scenario.sink.results, outcomes):
            self._check_outcome(name, self.values[result.index]["n"], outcome)

    def _check_outcome(self, name: str, value: int, outcome: Outcome) -> None:
        assert outcome.ok == (outcome.error is None)
        assert outcome.error is None or outcome.error.kind != "internal", outcome
        if (outcome.shared or outcome.cached) and not outcome.via:
            assert outcome.attempts == 0
        if outcome.ok and not outcome.skipped and outcome.content and outcome.body is not None:
            if self.kinds[name] == "pages" and not outcome.via:
                assert outcome.body == [value] * 2 * _PAGES, outcome
            elif isinstance(outcome.body, dict):
                assert outcome.body["n"] == value, outcome

"""Runs in which everything goes wrong at once, and the invariants that hold for them all the same.

A random number generator chooses the settings of the run and its APIs, the result of each attempt,
and what stops the run. The transports watch the engine: they record attempts that are sent too
early, too often or for no waiting call, and at the end those records are checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

import trio
import trio.testing
from support.scripted import Answer, ListSink, ListSource, Scenario, Script
from support.witness import (
    EPSILON,
    History,
    TasklessWitness,
    Total,
    Witness,
    callers,
    check_nothing_is_held,
)

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.engine.calls.hosts.callers import AnyCaller

_FOR_EVER = 1e6  # seconds, more than any of these runs takes


def _lost(*, stale: bool = False) -> TransportError:
    return TransportError("protocol", "lost", sent=True, transient=True, stale=stale)


def _refused(shortage: str = "") -> TransportError:
    return TransportError("connect", "refused", sent=False, transient=True, shortage=shortage)


_FAULTS = [
    Answer(0.1, 500),
    Answer(0.1, 503),
    Answer(0.1, 404),
    Answer(0.1, 422),
    Answer(0.3, 503, headers=((b"retry-after", b"2"),)),
    Answer(0.1, 429, headers=((b"retry-after", b"rubbish"),)),
    Answer(0.1, headers=((b"ratelimit", b'"q";r=0;t=1'),)),
    Answer(0.1, headers=((b"ratelimit", b'"q";r=7;t=9'),)),
    Answer(1000.0),
    Answer(connect=1000.0),
    Answer(3.0),
    Answer(0.3, body=b'"%b"' % (b"x" * 80)),
    Answer(failure=_refused()),
    Answer(failure=_refused(shortage="open files")),
    Answer(failure=TransportError("tls", "expired", sent=False)),
    Answer(0.2, failure=_lost()),
    Answer(0.0, failure=_lost(stale=True)),
    Answer(0.1, failure=TransportError("too_large", "endless", sent=True)),
]


def _script(random: Random, *, is_batch: bool) -> Script:
    """Return a script that fails a random share of attempts and delays some of the others."""
    fault_share = random.choice([0.0, 0.1, 0.3, 0.6])
    faults = random.sample(_FAULTS, random.randint(1, 4))
    outage = random.choice([(0.0, 0.0), (0.0, 0.0), (1.0, 4.0), (0.5, 20.0)])
    base_delay = random.choice([0.0, 0.05, 0.1])
    failed_share = random.choice([0.0, 0.2, 0.7])  # of the items of a batch
    seed = random.randrange(1 << 30)

    def script(value: Any, attempt: int) -> Answer:
        rng = Random(f"{seed} {value} {attempt}")
        if outage[0] <= trio.current_time() < outage[1]:
            return Answer(failure=_refused())
        if rng.random() < fault_share:
            return rng.choice(faults)
        delay = base_delay + (rng.choice([0.0, 0.2, 1.0]) if rng.random() < 0.2 else 0.0)
        count = len(value) if isinstance(value, list) else 0
        body = None
        if is_batch:
            count += rng.random() < 0.03
            items = [int(rng.random() < failed_share) for _ in range(count)]
            body = json.dumps(items).encode()
        return Answer(delay, body=body, connect=rng.choice([0.0, 0.0, 0.05]))

    return script


def _api(random: Random, before: list[str]) -> dict[str, Any]:
    """Return random settings for one API, which may be called after some of those `before` it."""
    choice = random.choice
    api: dict[str, Any] = {
        "limit": choice([1, 2, 5, 40, {"min": 1, "max": 8}, {"min": 2, "max": 40}]),
        "rate": choice([None, None, "5/s", "40/s"]),
        "retries": random.randint(0, 3),
        "attempt_timeout": choice([0.5, 2.0, 5.0]),
        "timeout": choice([1.0, 4.0, 30.0]),
        "method": choice(["POST", "PUT"]),
        "breaker": choice([None, False, {"failures": 1, "open": 0.5, "max_open": 2, "wait": 3}]),
    }
    if random.random() < 0.4:
        hosts = ["http://one.test", "http://two.test", "http://three.test"]
        api |= {"url": "/", "endpoints": hosts[: random.randint(2, 3)]}
        api["balance"] = choice(["least-in-flight", "round-robin", "failover"])
    if random.random() < 0.3:
        api |= {"method": "POST", "batch": {"size": random.randint(1, 5)}}
        api["idempotent"] = choice([True, False])
    elif random.random() < 0.5:
        api |= {"method": "PUT", "hedge": choice([0.05, 0.3, "p95", "head"])}
    if random.random() < 0.4:
        is_ok = "body == `0`" if "batch" in api else "!contains(`[3, 5, 8]`, body)"
        api |= choice([{"ok_when": is_ok}, {"retry_on": ["5xx", 404]}, {"retry_when": "`true`"}])
        api |= choice([{}, {"ok_when": is_ok}])
    if before and random.random() < 0.3:
        api["after"] = random.sample(before, random.randint(1, len(before)))
    return api


class Adversity:
    """A random run with faults.

    Args:
        random: source of every random choice.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._total = Total()
        names = ["a", "b", "c"][: random.randint(1, 3)]
        self.each = {name: _api(random, names[:index]) for index, name in enumerate(names)}
        self.count = random.choice([1, 8, 30, 120, 300])
        choice = random.choice
        self.settings: dict[str, Any] = {
            "join": choice(
                ["all", "all", "first", f"quorum:{len(names[:2])}", "best-effort:300ms"]
            ),
            "total_limit": choice([None, None, 1, 3, 20]),
            "window": choice([1, 7, 50, 200]),
            "window_bytes": choice([1, 300, 1 << 20]),
            "unordered": random.random() < 0.3,
            "deadline": choice([None, None, None, 0.7, 5.0]),
            "max_failures": choice([None, None, None, 3]),
            "drain_timeout": choice([0.5, 5.0]),
        }
        self.drain_at = choice([None] * 6 + [0.3, 2.0])
        self.abort_at = choice([None] * 6 + [0.5, 3.0])
        self.sink_delay = choice([0.0, 0.0, 0.01, 1.0])
        size = choice([1, 10, self.count])
        values = list(range(self.count))
        chunks = [values[start : start + size] for start in range(0, self.count, size)]
        self.scenario = Scenario(
            {name: _script(random, is_batch="batch" in api) for name, api in self.each.items()},
            source=ListSource([(choice([0.0, 0.0, 0.2]), chunk) for chunk in chunks]),
            sink=ListSink(delay=self.sink_delay),
            each=self.each,
            transport=lambda script: choice([Witness, TasklessWitness])(script, self._total),
            notify=lambda _: None,
            watch_head=random.random() < 0.3,
            **self.settings,
        )

    def __repr__(self) -> str:
        stops = {"drain_at": self.drain_at, "abort_at": self.abort_at, "sink": self.sink_delay}
        return f"<Adversity: {self.count} records, {self.each}, {self.settings}, {stops}>"

    def play(self) -> None:
        """Run to the end in virtual time; raise AssertionError if an invariant is violated."""
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(self._play, clock=clock, strict_exception_groups=True)
        self._check()

    async def _play(self) -> None:
        run, started_at = self.scenario.run, trio.current_time()
        with trio.fail_after(_FOR_EVER):
            async with trio.open_nursery() as nursery:
                for time, stop in ((self.drain_at, run.drain), (self.abort_at, run.abort)):
                    if time is not None:
                        nursery.start_soon(self._stop_at, time, stop)
                await self.scenario.play()
                nursery.cancel_scope.cancel()
        self._seconds = trio.current_time() - started_at

    async def _stop_at(self, time: float, stop: Callable[[Ending], None]) -> None:
        await trio.sleep(time)
        stop(Ending.SIGINT)

    def _check(self) -> None:
        self._check_lines()
        self._check_end()
        assert self._total.peak <= (self.settings["total_limit"] or self._total.peak)
        for caller, counted in zip(callers(self.scenario), self.scenario.run.statistics.apis):
            history = History(caller.plan, counted, self._witness(caller.plan.name))
            history.check()
            self._check_left_over(caller)
            for result in self.scenario.sink.results:
                history.check_outcome(result[caller.plan.name], result.index)

    def _witness(self, name: str) -> Witness:
        return cast(Witness, self.scenario.transports[name])

    def _check_lines(self) -> None:
        stats, indexes = self.scenario.run.statistics, self.scenario.sink.indexes
        in_order = sorted(indexes) if self.settings["unordered"] else indexes
        assert in_order == list(range(len(indexes)))
        assert stats.read == stats.written == stats.ok + stats.errors.total() == len(indexes)
        if self.scenario.run.ending is Ending.FINISHED:
            assert len(indexes) == self.count
        for api in stats.apis:
            assert api.calls == len(indexes)
            assert api.in_flight == 0
        for result in self.scenario.sink.results:
            for outcome in result.outcomes:
                assert outcome.ok == (outcome.error is None)

    def _check_end(self) -> None:
        stops = [self.settings["deadline"], self.abort_at]
        if self.drain_at is not None:
            stops.append(self.drain_at + self.settings["drain_timeout"])
        end = min((stop for stop in stops if stop is not None), default=_FOR_EVER)
        # The last writes may finish after the run was stopped.
        assert self._seconds <= end + self.sink_delay * (self.count + 1) + EPSILON

    def _check_left_over(self, caller: AnyCaller) -> None:
        check_nothing_is_held(caller)
        if self.scenario.run.ending is Ending.FINISHED:
            assert ", 0 bytes>" in repr(self.scenario.run)  # of the window
            assert caller.statistics().waiting == caller.statistics().hedges_waiting == 0

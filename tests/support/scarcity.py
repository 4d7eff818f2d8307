"""Runs that are short of everything at once: room, retries, keys that work, and money.

A random number generator chooses small windows, APIs with fallbacks, endpoints and prices, and
answers that deny, refuse and fail.  Whatever meets, each record gets its line, in order, and the
run ends.
"""

from __future__ import annotations

from random import Random
from typing import Any

import trio
import trio.testing
from support.scripted import (
    Answer,
    ListSource,
    Scenario,
    Script,
    ScriptedTransport,
    TasklessScripted,
)
from support.witness import check_nothing_is_held

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError

_MAX_SECONDS = 40_000.0  # of virtual time, many times what a run takes that ends
_ENDINGS = {Ending.FINISHED, Ending.GIVEN_UP, Ending.COST_LIMIT}


def _pauses(random: Random) -> tuple[tuple[bytes, bytes], ...]:
    choice = random.choice
    return choice(
        [
            ((b"retry-after", b"3"),),
            ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", choice([b"1", b"30"]))),
            ((b"ratelimit", b'"a";r=0;t=5'),),
        ]
    )


def _script(random: Random) -> Script:
    """Return a script that denies, refuses and fails, each with a probability of its own."""
    choice = random.choice
    denied, refused = choice([0, 0.05, 0.5, 1]), choice([0, 0.1, 0.6])
    failed, lost, asking = choice([0, 0.1, 0.5]), choice([0, 0.05]), choice([0, 0, 0.05])
    expires = choice([0.0, 0.0, 0.5, 3.0])  # from when on requests are denied
    body = choice([None, None, b'{"used":3}', b'"%b"' % (b"x" * 3000)])

    def script(value: Any, attempt: int) -> Answer:
        headers = _pauses(random) if random.random() < asking else ()
        delay = choice([0.001, 0.1, 0.5, 40.0 if random.random() < 0.05 else 0.2])
        draw = random.random()
        if trio.current_time() >= expires and draw < denied:
            return Answer(delay, choice([401, 402]), headers=headers)
        draw = random.random()
        if draw < refused:
            return Answer(delay, choice([429, 503]), headers=headers)
        if draw < refused + failed:
            return Answer(delay, choice([500, 502, 404]), headers=headers)
        if draw < refused + failed + lost:
            return Answer(delay, failure=_failure(random))
        return Answer(delay, headers=headers, body=body)

    return script


def _failure(random: Random) -> TransportError:
    is_transient = random.random() < 0.8
    if random.random() < 0.5:
        return TransportError("connect", "refused", sent=False, transient=is_transient)
    return TransportError("protocol", "lost", sent=True, transient=is_transient)


def _api(random: Random) -> dict[str, Any]:
    choice = random.choice
    api: dict[str, Any] = {
        "limit": choice([1, 4, 32]),
        "retries": choice([0, 0, 2]),
        "idempotent": choice([True, False]),
        "breaker": choice([None, None, False, {"wait": 5}]),
    }
    if random.random() < 0.4:
        hosts: list[Any] = [{"url": "http://x.test", **choice([{}, {"limit": 2}])}]
        hosts.append({"url": "http://y.test", **choice([{}, {"limit": 1}, {"rate": "9/s"}])})
        api |= {"url": "/", "endpoints": hosts}
        api["balance"] = choice(["least-in-flight", "round-robin", "failover"])
    if random.random() < 0.4:
        api |= {"price": {"call": "0.01", **choice([{}, {"input": "5/1K"}])}}
        api |= choice([{"cost": "`2`"}, {"spent": "used"}, {"cost": "`2`", "spent": "used"}])
    if random.random() < 0.2:
        api |= {"rate": choice(["50/s", "5/s"])}
    if random.random() < 0.2:
        api |= {"batch": {"size": choice([2, 5])}}
    elif random.random() < 0.3:
        api |= {"hedge": choice(["head", 0.3]), "idempotent": True}
    return api


class Scarcity:
    """A random run that is short of everything.

    Args:
        random: source of every random choice.
    """

    def __init__(self, random: Random) -> None:
        choice = random.choice
        script = _script(random)
        scripts, self.each = {"a": script}, {"a": _api(random)}
        if random.random() < 0.4:
            scripts["b"] = choice([script, _script(random)])
            self.each["a"].update(idempotent=True)
            on = choice([None, ["unreachable"], [401], ["5xx", 401, "timeout"]])
            self.each["b"] = {"fallback_of": "a", "limit": choice([1, 4]), "fallback_on": on}
        if random.random() < 0.3:
            scripts["c"] = _script(random)
            self.each["c"] = {**_api(random), **choice([{}, {"after": ["a"]}])}
        self.settings: dict[str, Any] = {
            "window": choice([None, 1, 5, 50]),
            "window_bytes": choice([1, 2000, 10_000, 1 << 20]),
            "total_limit": choice([None, None, 3]),
            "on_down": choice(["wait", "wait", "fail"]),
            "unordered": random.random() < 0.2,
            "join": choice(["all", "all", "first", "best-effort:1s"]),
        }
        if any("price" in api for api in self.each.values()):
            self.settings["max_cost"] = choice([None, "0.05", "1", "1000"])
        self.count = choice([1, 5, 40, 120])
        values = list(range(self.count))
        chunks = choice([[(0.0, values)], [(choice([0.1, 2.0]), [value]) for value in values]])
        self.scenario = Scenario(
            scripts,
            source=ListSource(chunks),
            each=self.each,
            transport=choice([ScriptedTransport, TasklessScripted]),
            **self.settings,
        )

    def __repr__(self) -> str:
        return f"<Scarcity: {self.count} records, {self.each}, {self.settings}>"

    def play(self) -> None:
        """Run to the end in virtual time; raise AssertionError if a promise is broken."""
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(self._play, clock=clock, strict_exception_groups=True)
        self._check()

    async def _play(self) -> None:
        with trio.fail_after(_MAX_SECONDS):
            await self.scenario.play()

    def _check(self) -> None:
        scenario, indexes = self.scenario, self.scenario.sink.indexes
        in_order = sorted(indexes) if self.settings["unordered"] else indexes
        assert in_order == list(range(len(indexes)))
        assert scenario.run.ending in _ENDINGS
        if scenario.run.ending is Ending.FINISHED:
            assert len(indexes) == self.count
        assert scenario.run.statistics.read == len(indexes)
        for result in scenario.sink.results:
            for outcome in result.outcomes:
                assert outcome.ok == (outcome.error is None)
                assert not (outcome.error and outcome.error.kind == "internal"), outcome.error
        for caller in scenario.backends[0].callers:
            check_nothing_is_held(caller)

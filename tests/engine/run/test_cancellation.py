"""Cancellation at every checkpoint in turn leaves nothing behind, and no fault loses a record."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.scripted import Answer, Scenario, Script, ScriptedTransport, TasklessScripted, answers
from support.thoroughness import EVERY, share_of
from support.witness import callers, check_nothing_is_held

from tmux_fanout.core.errors import TransportError


class _CancelAfter(trio.abc.Instrument):
    """Cancels a scope after a number of task steps."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._left = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()


def _faulty(value: Any, attempt: int) -> Answer:
    value = value[0] if isinstance(value, list) else value
    if value % 4 == 1 and attempt == 1:
        return Answer(delay=0.5, status=503)
    if value % 4 == 2:
        return Answer(delay=1000.0)
    if value % 4 == 3 and attempt == 1:
        return Answer(failure=TransportError("connect", "refused", sent=False, transient=True))
    return Answer(delay=0.1)


def _scenario(each: dict[str, Any], count: int, **run: Any) -> Scenario:
    return Scenario(
        {"a": _faulty, "b": _faulty},
        list(range(count)),
        api={"limit": 2, "attempt_timeout": 2},
        each=each,
        **run,
    )


_BREAKER = {"failures": 1, "open": 0.3, "wait": 1}
_BASES = ["http://one.test", "http://two.test"]


async def _cancel_after(scenario: Scenario, steps: int) -> bool:
    """Play and cancel at a step; return whether the run was over before."""
    with trio.CancelScope() as scope:
        instrument = _CancelAfter(scope, steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            await scenario.play()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return not scope.cancelled_caught


@pytest.mark.parametrize(
    ("each", "count", "run"),
    [
        ({}, 8, {"total_limit": 3, "window": 5}),
        ({"a": {"hedge": 0.05, "method": "PUT", "limit": 9}}, 21, {"join": "best-effort:70ms"}),
        ({"a": {"limit": {"min": 1, "max": 9}}, "b": {"rate": "9/s"}}, 18, {"total_limit": 4}),
        ({"a": {"batch": {"size": 3}, "breaker": _BREAKER}, "b": {"after": ["a"]}}, 8, {}),
        ({"a": {"url": "", "endpoints": _BASES, "breaker": _BREAKER}}, 8, {"join": "first"}),
    ],
    ids=["total limit", "hedges", "adaptive", "batches", "endpoints"],
)
@pytest.mark.parametrize("transport", [ScriptedTransport, TasklessScripted])
def test_cancelled_at_every_checkpoint_nothing_is_left(
    each: dict[str, Any], count: int, run: dict[str, Any], transport: type[ScriptedTransport]
) -> None:
    """After any cancellation no slot is taken, and the output is a prefix in order."""

    async def main() -> int:
        tasks = trio.lowlevel.current_statistics().tasks_living
        for steps in itertools.count(1, EVERY):
            scenario = _scenario(each, count, transport=transport, **run)
            finished = await _cancel_after(scenario, steps)
            for caller in callers(scenario):
                check_nothing_is_held(caller)
            assert all(transport.in_flight == 0 for transport in scenario.transports.values())
            assert scenario.sink.indexes == list(range(len(scenario.sink.indexes)))
            assert trio.lowlevel.current_statistics().tasks_living == tasks
            if finished:
                return steps
        raise AssertionError

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock, strict_exception_groups=True) > 60


FAULTS = st.sampled_from(
    [
        Answer(),
        Answer(delay=1.0),
        Answer(delay=2.0, body=b'"%b"' % (b"x" * 50)),
        Answer(delay=1000.0),
        Answer(connect=1000.0),
        Answer(status=500),
        Answer(status=503),
        Answer(status=404),
        Answer(status=503, headers=((b"retry-after", b"2"),)),
        Answer(status=429, headers=((b"retry-after", b"rubbish"),)),
        Answer(failure=TransportError("connect", "refused", sent=False, transient=True)),
        Answer(failure=TransportError("tls", "expired", sent=False)),
        Answer(failure=TransportError("protocol", "cut short", sent=True, transient=True)),
        Answer(failure=TransportError("protocol", "stale", sent=True, transient=True, stale=True)),
        Answer(failure=TransportError("too_large", "endless", sent=True)),
    ]
)


def _is_unwell(answer: Answer) -> bool:
    """Whether an answer may be the server's fault, so that it need not use up a retry."""
    return (
        answer.failure is not None
        or answer.delay + answer.connect > 5
        or answer.status in (429, 503)
    )


SCRIPTS = st.lists(st.lists(FAULTS, min_size=1, max_size=3), min_size=1, max_size=10)


@settings(max_examples=share_of(200))
@given(
    faults=st.dictionaries(st.sampled_from("ab"), SCRIPTS, min_size=1),
    count=st.integers(0, 25),
    limit=st.integers(1, 5),
    window=st.integers(1, 9),
    stretched_to=st.integers(1, 30),
    window_bytes=st.sampled_from([1, 30, 10_000]),
    unordered=st.booleans(),
    retries=st.integers(0, 3),
    idempotent=st.booleans(),
    deadline=st.none() | st.sampled_from([0.5, 3.0, 30.0]),
    chained=st.booleans(),
    batch=st.none() | st.integers(1, 4),
    join=st.sampled_from(["all", "first", "quorum:1", "quorum:2", "best-effort:300ms"]),
    transport=st.sampled_from([ScriptedTransport, TasklessScripted]),
)
def test_whatever_the_faults_every_record_has_one_line(
    faults: dict[str, list[list[Answer]]],
    count: int,
    limit: int,
    window: int,
    stretched_to: int,
    window_bytes: int,
    unordered: bool,
    retries: int,
    idempotent: bool,
    deadline: float | None,
    chained: bool,
    batch: int | None,
    join: str,
    transport: type[ScriptedTransport],
) -> None:
    """There are as many lines as records read, and limits and retries hold."""
    assume(join != "quorum:2" or len(faults) > 1)
    each: dict[str, dict[str, Any]] = {name: {} for name in faults}
    if batch:
        each[max(faults)]["batch"] = {"size": batch}
    if chained and len(faults) > 1:
        each["a"]["after"] = ["b"]

    def script(mine: list[list[Answer]]) -> Script:
        def answer(value: Any, attempt: int) -> Answer:
            number = value[0] if isinstance(value, list) else value
            return answers(*mine[number % len(mine)])(value, attempt)

        return answer

    scenario = Scenario(
        {name: script(mine) for name, mine in faults.items()},
        list(range(count)),
        api={"limit": limit, "retries": retries, "idempotent": idempotent, "attempt_timeout": 5},
        each=each,
        join=join,
        transport=transport,
        window=window,
        stretched_to=stretched_to,
        window_bytes=window_bytes,
        unordered=unordered,
        deadline=deadline,
    )
    trio.run(
        scenario.play,
        clock=trio.testing.MockClock(autojump_threshold=0),
        strict_exception_groups=True,
    )
    stats = scenario.run.statistics
    came = scenario.sink.indexes
    assert (sorted(came) if unordered else came) == list(range(count))
    assert stats.read == stats.written == stats.ok + stats.errors.total() == count
    for name, scripted in scenario.transports.items():
        assert scripted.peak <= limit
        for result in scenario.sink.results:
            assert result[name].ok == (result[name].error is None)
            if not retries or not any(map(_is_unwell, itertools.chain(*faults[name]))):
                # Each may find a stale connection, and a batch may be halved twice.
                assert result[name].attempts <= 2 * (retries + 1) + 2
    for api in stats.apis:
        assert api.calls == count
        assert api.in_flight == 0

"""Pages and jobs under cancellation and faults: nothing is left behind, repeated or lost."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cancelling import cancelled_after
from support.scripted import Answer, Scenario
from support.series import Asked, Server, Serving, says, script_of
from support.witness import callers, check_nothing_is_held

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError

JOB = {"url": "http://api.test/jobs", "poll": {"url": "/{_submitted.id}", "until": "done"}}
LIST = {
    "url": "http://api.test/list?of={n}",
    "method": "GET",
    "pages": {"next": "next", "param": "page", "items": "items"},
}


def good(asked: Asked) -> Answer:
    """Serve jobs that are done at the second poll, and lists of three pages."""
    if asked.method == "POST":
        return says({"id": f"j{asked.value['n']}"})
    if asked.path != "/list":
        return says({"done": asked.time >= 2})
    page = int(asked.query.get("page", "1"))
    return says({"items": [page], "next": page + 1 if page < 3 else None})


def scenario(server: Server, count: int, each: dict[str, Any], **run: Any) -> Scenario:
    return Scenario(
        {"job": script_of(server), "list": script_of(server)},
        [{"n": n} for n in range(count)],
        api={"limit": 2, "attempt_timeout": 2, "retries": 2},
        each={"job": {**JOB, **each}, "list": {**LIST, **each}},
        transport=Serving,
        **run,
    )


def check_the_end(played: Scenario) -> None:
    for caller in callers(played):
        check_nothing_is_held(caller)
    assert all(transport.in_flight == 0 for transport in played.transports.values())
    assert played.sink.indexes == list(range(len(played.sink.indexes)))


@pytest.mark.parametrize(
    ("each", "run"),
    [({}, {"total_limit": 3}), ({"rate": "9/s", "cost": "`1`"}, {"join": "first"})],
    ids=["limits", "rates"],
)
def test_cancelled_at_every_checkpoint_nothing_is_left(
    each: dict[str, Any], run: dict[str, Any]
) -> None:
    """After any cancellation no slot is taken, and the output is a prefix in order."""

    async def main() -> int:
        tasks = trio.lowlevel.current_statistics().tasks_living
        for steps in itertools.count(1):
            played = scenario(good, 3, each, **run)
            is_cut = await cancelled_after(steps, played.play)
            check_the_end(played)
            assert trio.lowlevel.current_statistics().tasks_living == tasks
            if not is_cut:
                return steps
        raise AssertionError

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock, strict_exception_groups=True) > 40


LOST = TransportError("protocol", "lost", sent=True, transient=True)
FAULTS = [
    Answer(0.1, 500),
    Answer(0.1, 503),
    Answer(0.1, 429, headers=((b"retry-after", b"3"),)),
    Answer(0.1, 401),
    Answer(0.1, 404),
    Answer(1000.0),
    Answer(0.1, failure=LOST),
    Answer(0.1, body=b"<html>"),
    Answer(0.1, body=b"{}"),
    Answer(0.1, body=b'{"items": 1, "id": "..", "done": []}'),
]


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 3.0, 9.0]), st.booleans())
def test_whatever_is_answered_no_record_is_lost_and_no_job_submitted_twice(
    random: Any, stop_at: float | None, is_drained: bool
) -> None:
    """A job that was accepted is never submitted again, and a list is whole or not ok."""
    accepted: Counter[int] = Counter()

    def server(asked: Asked) -> Answer:
        if asked.method == "POST":
            assert not accepted[asked.value["n"]]
        answer = random.choice(FAULTS) if random.random() < 0.3 else good(asked)
        if asked.method == "POST" and not answer.failure and answer.status == 200:
            accepted[asked.value["n"]] += answer.delay < 1
        return answer

    played = scenario(server, 6, {"breaker": {"failures": 3, "wait": 5}})

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(play, nursery.cancel_scope)
            if stop_at is not None:
                await trio.sleep(stop_at)
                stop = played.run.drain if is_drained else played.run.abort
                stop(Ending.SIGTERM)

    async def play(scope: trio.CancelScope) -> None:
        await played.play()
        scope.cancel()

    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(main, clock=clock, strict_exception_groups=True)
    check_the_end(played)
    assert (played.run.window.records, played.run.window.bytes) == (0, 0)
    if stop_at is None and played.run.ending is Ending.FINISHED:
        assert played.sink.indexes == list(range(6))
    for result in played.sink.results:
        assert not result["list"].ok or result["list"].body == [1, 2, 3]
        assert not result["job"].ok or result["job"].body["done"]
        error = result["job"].error
        if accepted[result.index] and error is not None and error.kind != "rejected":
            assert error.ambiguous
            assert error.message.startswith(("poll ", "submitted: "))

"""Workers judge an API in trouble by what all of them see, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from support import members
from support.members import MembersScenario
from support.scripted import Answer, Script

from tmux_fanout.core.dealing.messages import Frames, decode_report
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.results.outcome import Result

REFUSED = TransportError("connect", "refused", sent=False, transient=True)


def absent(value: Any, attempt: int) -> Answer:
    """Refuse every connection."""
    return Answer(0.002, failure=REFUSED)


def down(begin: float, end: float, refusal: float = 0.002) -> Script:
    """Return a script of an API that refuses connections between two times."""

    def script(value: Any, attempt: int) -> Answer:
        if begin <= trio.current_time() < end:
            return Answer(refusal, failure=REFUSED)
        return Answer(0.05)

    return script


def play(
    scenario: Callable[[], MembersScenario],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    meanwhile: Callable[[MembersScenario], Any] | None = None,
) -> tuple[MembersScenario, list[Result], float]:
    """Play a scenario with the jitter of a seed; return it, its results and how long it took."""
    seeds = iter(range(seed * 1000, (seed + 1) * 1000))
    monkeypatch.setattr(members, "Random", lambda _: Random(next(seeds)))

    async def main() -> tuple[MembersScenario, list[Result], float]:
        made = scenario()
        results = await made.play((lambda: meanwhile(made)) if meanwhile else None)
        return made, results, trio.current_time()

    return trio.run(
        main, clock=trio.testing.MockClock(autojump_threshold=0), strict_exception_groups=True
    )


def kinds(results: Sequence[Result]) -> Counter[str | None]:
    outcomes = [outcome for result in results for outcome in result.outcomes]
    return Counter(outcome.error.kind if outcome.error else None for outcome in outcomes)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_records_use_up_their_retries(
    monkeypatch: pytest.MonkeyPatch, count: int, workers: int, seed: int
) -> None:
    """Where there are no others, nobody waits for an API that is not there."""
    made, results, seconds = play(
        lambda: MembersScenario({"a": absent}, list(range(count)), workers=workers),
        monkeypatch,
        seed,
    )
    assert kinds(results) == {"connect": count}
    assert made.run.ending is Ending.FINISHED
    assert seconds < 5.0
    assert len(made.sent_at()) <= 4 * count


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("count", [12, 60])
def test_records_wait_for_an_absent_api_however_few_of_them_a_worker_has(
    monkeypatch: pytest.MonkeyPatch, count: int, workers: int, seed: int
) -> None:
    """One or two records of a worker are not alone, as other workers have more."""
    made, results, _ = play(
        lambda: MembersScenario(
            {"a": absent},
            list(range(count)),
            workers=workers,
            api={"breaker": {"failures": 1, "open": "100ms", "wait": "2s"}},
        ),
        monkeypatch,
        seed,
    )
    assert kinds(results) == {"cancelled": count}
    assert made.run.ending is Ending.GIVEN_UP


@pytest.mark.parametrize("refusal", [0.0005, 0.05])
@pytest.mark.parametrize("begin", [0.0, 1.0])
def test_finding_an_outage_costs_several_workers_about_what_it_costs_one(
    monkeypatch: pytest.MonkeyPatch, begin: float, refusal: float
) -> None:
    """The first that suspects an outage finds out; the others leave the API to it meanwhile."""
    attempts = []
    for workers in (1, 3):
        made, results, _ = play(
            partial(
                MembersScenario,
                {"a": down(begin, begin + 20.0, refusal)},
                list(range(1500)),
                workers=workers,
            ),
            monkeypatch,
            0,
        )
        assert kinds(results) == {None: 1500}
        sent = [time for time, _ in made.sent_at() if begin <= time < begin + 20.0]
        attempts.append(len(sent))
    assert min(attempts) > 64
    assert max(attempts) <= 1.5 * attempts[0], attempts


@pytest.mark.parametrize("seconds", [100.0, 200.0])
def test_worker_that_joins_in_an_outage_knows_that_the_api_has_served(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """It waits for as long as the others: for five minutes, and not for one."""

    async def kill(made: MembersScenario) -> None:
        await trio.sleep(10.0)
        made.members[0].kill()
        await trio.sleep(10.0)
        made.members[1].kill()

    made, results, _ = play(
        lambda: MembersScenario(
            {"a": down(2.0, 2.0 + seconds)}, list(range(3000)), workers=2, api={"limit": 16}
        ),
        monkeypatch,
        0,
        kill,
    )
    assert len(made.members) == 4
    assert kinds(results) == {None: 3000}
    assert made.run.ending is Ending.FINISHED


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("good", "bad", "seconds"), [(20, 1, 10), (200, 1, 60), (20, 5, 150)])
def test_refused_records_at_the_end_of_the_input_end_alone(
    monkeypatch: pytest.MonkeyPatch, good: int, bad: int, seconds: float, workers: int
) -> None:
    """The run is not given up for them, whoever of several workers has them."""
    count = good + bad
    made, results, took = play(
        lambda: MembersScenario(
            {"a": lambda value, _: Answer(0.05, 503 if value >= good else 200)},
            list(range(count)),
            workers=workers,
        ),
        monkeypatch,
        0,
    )
    assert kinds(results) == {None: good, "status": bad}
    assert made.run.ending is Ending.FINISHED
    assert took < seconds


@pytest.mark.parametrize("seed", range(3))
def test_failures_of_an_unwell_api_use_up_no_retries_of_the_only_record_of_a_worker(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """It is not at fault if those of other workers fail as well.

    Who is quick to fail three times may end before more is known: one or two of eight, not all.
    """

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.02, 502 if trio.current_time() < 2.5 else 200)

    _, results, _ = play(
        lambda: MembersScenario({"a": script}, list(range(8)), workers=8),
        monkeypatch,
        seed,
    )
    assert kinds(results)[None] >= 5


class Counting:
    """Counts the reports of all workers, by kind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kinds: Counter[str] = Counter()
        send = members.MemoryPipe.send

        async def counted(pipe: members.MemoryPipe, data: bytes) -> None:
            for content in Frames().feed(data):
                with suppress(ValueError):  # an order
                    self.kinds[type(decode_report(content)).__name__] += 1
            await send(pipe, data)

        monkeypatch.setattr(members.MemoryPipe, "send", counted)


def test_workers_say_nothing_of_an_api_that_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shared in trouble costs nothing while there is none."""
    counting = Counting(monkeypatch)
    play(lambda: MembersScenario({"a": lambda *_: Answer(0.02)}, list(range(5000))), monkeypatch, 0)
    assert counting.kinds["Done"] > 100
    assert not counting.kinds["Found"]
    assert not counting.kinds["Tallied"]


def test_workers_say_little_of_an_api_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few reports a second from each, at most."""
    counting = Counting(monkeypatch)
    _, results, seconds = play(
        lambda: MembersScenario({"a": down(1.0, 61.0)}, list(range(3000))), monkeypatch, 0
    )
    assert kinds(results) == {None: 3000}
    assert counting.kinds["Tallied"] < 3 * 2 * seconds
    assert counting.kinds["Found"] < 3 * 2 * seconds

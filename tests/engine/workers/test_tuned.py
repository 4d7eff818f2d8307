"""Limits that change while several workers make the calls of a run, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.members import MembersScenario
from support.scripted import Answer, answers

from tmux_fanout.core.tuning.tuning import parse_tuning


class Tuned:
    """A run of three workers whose limits change.

    Args:
        records: how many.
        settings: of the run and its APIs.
    """

    def __init__(self, records: int, api: dict[str, Any] | None = None, **settings: Any) -> None:
        self.scenario = MembersScenario(
            {"a": answers(Answer(0.1))}, list(range(records)), api=api, **settings
        )

    @property
    def in_flight(self) -> int:
        return self.scenario.sites["a"].in_flight

    def tune(self, text: str) -> None:
        """Change limits, and measure the peak from now on."""
        self.scenario.run.tune(parse_tuning(text, self.scenario.plan))
        self.scenario.sites["a"].peak = self.in_flight

    @property
    def peak(self) -> int:
        return self.scenario.sites["a"].peak


@pytest.mark.parametrize("key", ["limit", "total_limit"])
async def test_limits_are_exact_below_and_above_what_the_run_began_with(
    autojump_clock: object, key: str
) -> None:
    """Also below the number of workers; a higher limit is used as a whole."""
    most = {"total_limit": 9} if key == "total_limit" else {}
    tuned = Tuned(4000, {"limit": 9 if key == "limit" else 64}, **most)
    found: dict[int, tuple[int, int]] = {}

    async def change() -> None:
        await trio.sleep(2.05)
        for limit in (4, 2, 1, 5, 40, 9):
            tuned.tune(f"{key} = {limit}")
            await trio.sleep(0.11)  # what was under way has ended
            tuned.scenario.sites["a"].peak = 0
            await trio.sleep(6)
            found[limit] = (tuned.in_flight, tuned.peak)

    results = await tuned.scenario.play(change)
    assert [result.index for result in results] == list(range(4000))
    assert found == {limit: (limit, limit) for limit in (4, 2, 1, 5, 40, 9)}


async def test_limit_is_exact_from_the_beginning(autojump_clock: object) -> None:
    """A run that begins with a lower limit than it was planned with keeps to it at once."""
    tuned = Tuned(40, {"limit": 9})
    tuned_peaks: list[int] = []

    async def change() -> None:
        tuned.tune("limit = 1")
        await trio.sleep(3)
        tuned_peaks.append(tuned.peak)

    results = await tuned.scenario.play(change)
    assert len(results) == 40
    assert tuned_peaks == [1]


async def test_lower_limit_holds_while_a_worker_dies(autojump_clock: object) -> None:
    """The one that replaces it has a share of the limit of the moment."""
    tuned = Tuned(1000, {"limit": 9})

    async def change() -> None:
        await trio.sleep(2.05)
        tuned.tune("limit = 4")
        await trio.sleep(0.11)
        tuned.scenario.sites["a"].peak = 0
        tuned.scenario.members[0].kill()
        await trio.sleep(6)

    results = await tuned.scenario.play(change)
    assert len(results) == 1000
    assert tuned.peak == 4


async def test_adaptive_limit_is_bounded_by_all_workers_together(autojump_clock: object) -> None:
    """Its bounds change."""
    tuned = Tuned(3000, {"limit": {"min": 3, "max": 30}})

    async def change() -> None:
        await trio.sleep(2.05)
        tuned.tune("limit = 2")
        await trio.sleep(0.2)
        tuned.scenario.sites["a"].peak = 0
        await trio.sleep(5)
        assert tuned.peak == 2
        tuned.tune("")

    assert len(await tuned.scenario.play(change)) == 3000
    assert tuned.peak > 9

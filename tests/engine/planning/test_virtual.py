"""Runs in virtual time, and plans made of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.planning.distributions import Exponential, Fixed
from tmux_fanout.core.planning.figures import PlanFigures
from tmux_fanout.core.planning.model import OK, Answers, ApiModel, Kind, stated
from tmux_fanout.core.planning.virtual import VirtualRun, for_models
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.engine.planning.planner import Subject, make_plan
from tmux_fanout.engine.planning.reading import SomeRecords, read_some
from tmux_fanout.engine.planning.virtual import run_virtually

RECORDS = [record_of(index, {"id": index}) for index in range(100)]


def plan_of(api: dict[str, Any], **settings: Any) -> RunPlan:
    return plan_run([Api("a", "http://a.test", **api)], RunSettings(**settings), {})


def simulate(
    model: ApiModel, count: int, api: dict[str, Any] | None = None, **settings: Any
) -> VirtualRun:
    plan = for_models(plan_of(api or {}, **settings), [model])
    return run_virtually(plan, RECORDS, count, [model], 1)


def planned(
    model: ApiModel,
    number: int,
    api: dict[str, Any] | None = None,
    *,
    processor: float = 0.0,
    processes: int = 1,
    **settings: Any,
) -> PlanFigures:
    return make_plan(
        Subject(
            plan_of(api or {}, **settings),
            SomeRecords(number, RECORDS),
            [model],
            has_window="window" in settings,
            processor=processor,
            processes=processes,
            memory=0,
        ),
        requests=1000,
    )


def mixed(*answers: tuple[Kind, float], seconds: float = 0.1) -> ApiModel:
    return ApiModel([Answers(kind, share, Fixed(seconds)) for kind, share in answers], "a test")


@pytest.mark.parametrize(
    ("api", "settings", "seconds"),
    [
        ({"limit": 10}, {}, pytest.approx(10.0)),
        ({"limit": 10}, {"total_limit": 5}, pytest.approx(20.0)),
        ({"rate": "20/s"}, {}, pytest.approx(50.0, abs=0.2)),
        ({"limit": 10, "batch": {"size": 10}}, {}, pytest.approx(1.0, abs=0.1)),
        (
            {"limit": 10, "batch": {"size": 10, "wrap": "{input: @}", "items": "data"}},
            {},
            pytest.approx(1.0, abs=0.1),
        ),
        ({"limit": 10, "stream": "sse", "last": True}, {}, pytest.approx(10.0)),
        ({"when": "id < `50`", "limit": 10}, {}, pytest.approx(5.0)),
        (
            {"limit": 10, "select": "no.such", "ok_when": "never", "ok_status": [204]},
            {},
            pytest.approx(10.0),
        ),
    ],
)
def test_time_is_that_of_the_limits(
    api: dict[str, Any], settings: dict[str, Any], seconds: Any
) -> None:
    """A thousand records, whose answers take a tenth of a second each."""
    run = simulate(stated(Fixed(0.1), ""), 1000, api, **settings)
    assert run.statistics.seconds == seconds
    assert run.statistics.ok == 1000


PAGES = {"method": "GET", "pages": {"next": "next", "items": "items"}}
POLL = {"poll": {"url": "/{_submitted.id}", "until": "done", "every": "2s", "max": "1m"}}


@pytest.mark.parametrize(
    ("api", "requests", "attempts", "seconds"),
    [
        (PAGES, (), 100, 0.1),
        (PAGES, (1, 3), 200, 0.3),
        (POLL, (), 200, 2.2),
        (POLL, (4,), 400, 6.4),
    ],
)
def test_pages_and_polls_are_as_many_as_calls_made(
    api: dict[str, Any], requests: Sequence[int], attempts: int, seconds: float
) -> None:
    """What a model answers does not say whether there is another one; nothing fails for that."""
    model = ApiModel([Answers(OK, 1.0, Fixed(0.1))], "a test", requests=requests)
    run = simulate(model, 100, {**api, "limit": 100})
    assert (run.statistics.ok, run.statistics.attempts) == (100, attempts)
    assert run.statistics.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(("requests", "is_noted"), [((), True), ((2,), False)])
def test_unknown_number_of_pages_is_noted(requests: Sequence[int], is_noted: bool) -> None:
    """The number in a plan is then the least."""
    model = ApiModel([Answers(OK, 1.0, Fixed(0.1))], "a test", requests=requests)
    notes = planned(model, 10, PAGES).notes
    assert any("how many requests a call of a makes" in note for note in notes) == is_noted


def test_failures_are_those_of_the_model() -> None:
    """They are repeated, or not, as in a real run."""
    model = mixed((OK, 0.7), (Kind(404, "status"), 0.2), (Kind(503, "status"), 0.1))
    run = simulate(model, 2000)
    (api,) = run.statistics.apis
    assert api.errors.total() == run.statistics.not_ok
    assert 0.15 < run.statistics.not_ok / 2000 < 0.3
    assert api.attempts > 2000


def test_attempts_that_hang_time_out() -> None:
    """No answer comes, so the attempt ends with its patience."""
    model = mixed((Kind(0, "timeout"), 1.0))
    run = simulate(model, 1, {"attempt_timeout": "5s", "retries": 0})
    assert run.statistics.seconds == pytest.approx(5.0)
    assert run.statistics.errors == {"timeout": 1}


@pytest.mark.parametrize("kind", ["connect", "protocol", "rejected", "decode", "too_large"])
def test_other_errors_are_errors(kind: Any) -> None:
    """Each fails its record in the end."""
    model = mixed((OK, 0.8), (Kind(0, kind), 0.2))
    run = simulate(model, 200, {"retries": 0})
    assert set(run.statistics.errors) == {kind}


def test_api_refuses_what_exceeds_its_rate() -> None:
    """The run finds the rate, with a few refusals, and keeps to it."""
    model = ApiModel([Answers(OK, 1.0, Fixed(0.05))], "a test", rate=100.0)
    run = simulate(model, 2000, {"limit": 16})
    assert run.statistics.ok == 2000
    assert 0 < run.milestones[-1].refused <= run.refused[0] < 600
    assert 20.0 <= run.statistics.seconds < 30.0


def test_same_seed_gives_the_same_run() -> None:
    """Other seeds give others."""
    model = stated(Exponential(0.1), "")
    plan = for_models(plan_of({}), [model])
    first, again, other = (
        run_virtually(plan, RECORDS, 500, [model], seed).statistics.seconds for seed in (1, 1, 2)
    )
    assert first == again != other


def test_part_of_a_run_stands_for_all() -> None:
    """A million records take what the pace of some of them says."""
    model = stated(Exponential(0.1), "")
    figures = planned(model, 1_000_000, {"limit": 50}, window=200, unordered=True)
    assert figures.simulated == 1200
    assert figures.requests == 1_000_000
    assert figures.seconds == pytest.approx(2000, rel=0.1)
    assert figures.low <= figures.seconds <= figures.high
    assert any("were simulated" in note for note in figures.notes)


def test_table_says_what_other_limits_bring() -> None:
    """Half the limit takes twice as long, until something else holds the run up."""
    figures = planned(stated(Fixed(0.1), ""), 1000, {"limit": 10, "rate": "200/s"})
    assert [row.limit for row in figures.table] == [0.5, 1, 2, 4]
    assert [row.limits["a"] for row in figures.table] == [5, 10, 20, 40]
    assert [round(row.seconds) for row in figures.table] == [20, 10, 5, 5]
    assert figures.table[1].seconds == figures.seconds
    assert "limit of 5" in str(figures.table[0].bottleneck)
    assert "rate limit" in str(figures.table[3].bottleneck)


def test_processor_may_be_the_bottleneck() -> None:
    """What requests cost bounds the pace, of several processes together."""
    one = planned(stated(Fixed(0.001), ""), 1000, processor=0.01)
    assert one.seconds == pytest.approx(10.0)
    assert "the processor took 100%" in str(one.bottleneck)
    two = planned(stated(Fixed(0.001), ""), 1000, processor=0.01, processes=2)
    assert two.seconds == pytest.approx(5.0)


def test_money_and_tokens_are_planned() -> None:
    """They are multiplied as the records are."""
    api = {"cost": "`10`", "price": {"input": "1/1K", "call": "0.01"}}
    figures = planned(stated(Fixed(0.1), ""), 100_000, api, window=200)
    assert figures.tokens == pytest.approx(1_000_000)
    assert figures.cost == pytest.approx(100_000 * 0.02)
    assert figures.apis["a"].cost == figures.cost


def test_spending_is_read_from_bodies_that_are_whole() -> None:
    """Where they are not, the plan says that it does not know."""
    api = {"spent": "usage", "price": {"input": "1/1K"}}
    answers = [Answers(OK, 1.0, Fixed(0.1))]
    known = ApiModel(answers, "a test", bodies=(b'{"usage":{"input":10,"output":0}}',))
    figures = planned(known, 1000, {**api, "spent": "usage.input"})
    assert figures.tokens == pytest.approx(10_000)
    unknown = planned(ApiModel(answers, "a test"), 1000, api)
    assert unknown.cost is None
    assert any("spend" in note for note in unknown.notes)


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"deadline": "5s"}, "the deadline of 5s passes first, after about 500 records"),
        ({"max_cost": 1}, "--max-cost is reached first, after about 100 records"),
        ({"max_failures": 10}, "--max-failures 10 is passed"),
    ],
)
def test_early_end_is_told(settings: dict[str, Any], note: str) -> None:
    """What would end the run does not end the simulation."""
    model = mixed((OK, 0.9), (Kind(404, "status"), 0.1))
    api = {"limit": 10, "price": {"call": "0.01"}}
    figures = planned(model, 1000, api, **settings)
    assert any(note in each for each in figures.notes), figures.notes


def test_run_that_is_given_up() -> None:
    """An API that nobody can reach ends the run, and so the plan."""
    figures = planned(mixed((Kind(0, "connect"), 1.0)), 100_000, {"limit": 10}, window=200)
    assert (figures.ok, figures.requests < 10_000) == (0, True)
    assert 60 <= figures.seconds < 3600
    assert any("the run is given up after about" in note for note in figures.notes)


def test_what_is_not_known_is_told() -> None:
    """A rate says what an API can bear; without one nobody knows."""
    unknown = planned(stated(Fixed(0.1), ""), 100)
    assert any("how much a can take" in note for note in unknown.notes)
    known = planned(stated(Fixed(0.1), ""), 100, {"rate": "100/s"})
    assert not any("can take" in note for note in known.notes)


@pytest.mark.parametrize(("rate", "is_told"), [(None, True), (100.0, False)])
def test_requests_repeated_for_an_unknown_reason_are_told(
    rate: float | None, is_told: bool
) -> None:
    """If they were refusals, the run takes longer than failures by chance do."""
    model = replace(stated(Fixed(0.1), "out.jsonl"), repeated=100, rate=rate)
    notes = planned(model, 100).notes
    told = [note for note in notes if "why 100 requests of a had to be repeated" in note]
    assert len(told) == is_told
    assert all("as out.jsonl does not say" in note and "run --learn" in note for note in told)


def test_call_after_another_needs_its_responses() -> None:
    """Without bodies nobody knows what it sends, or whether it is made."""
    apis = [
        Api("a", "http://a.test"),
        Api("b", "http://b.test", after=["a"], body="{x: _results.a.body.id}"),
    ]
    answers = [Answers(OK, 1.0, Fixed(0.1))]
    whole = ApiModel(answers, "a test", bodies=(b'{"id":1}',))
    for first, is_known in ((ApiModel(answers, "a test"), False), (whole, True)):
        subject = Subject(
            plan_run(apis, RunSettings(), {}),
            SomeRecords(100, RECORDS),
            [first, whole],
            has_window=False,
            processor=0.0,
            processes=1,
            memory=0,
        )
        figures = make_plan(subject)
        assert figures.apis["b"].requests == (100 if is_known else 0)
        notes = [note for note in figures.notes if "what calls of b send" in note]
        assert len(notes) == (not is_known)


class _Source:
    """Hands out records in chunks of odd sizes."""

    def __init__(self, count: int) -> None:
        self._left = [record_of(index, {"id": index}) for index in range(count)]

    async def next_chunk(self) -> Sequence[Record]:
        await trio.lowlevel.checkpoint()
        chunk, self._left = self._left[:97], self._left[97:]
        return chunk

    def read_ahead(self) -> Sequence[Record]:
        return ()

    def total(self) -> Total | None:
        return None


@pytest.mark.parametrize("count", [0, 1, 96, 4096, 4097, 10_000, 20_000])
async def test_some_records_stand_for_all(count: int) -> None:
    """They are evenly spread, from the first on, and not many."""
    number, some = await read_some(_Source(count))
    assert number == count
    assert len(some) == count if count <= 4096 else 2048 <= len(some) <= 4096
    steps = {after.index - before.index for before, after in pairwise(some)}
    assert len(steps) <= 1
    assert [record.index for record in some[:1]] == ([0] if count else [])

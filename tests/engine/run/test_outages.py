"""Records that an API refuses for what they are, and outages, which look alike, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, ListSource, Scenario

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import TransportError


def refusing(refused: range, status: int, latency: float = 0.05) -> Any:
    """Return a script that always refuses certain records."""
    return lambda value, attempt: Answer(latency, status if value in refused else 200)


def down_between(begin: float, end: float, status: Any = 503) -> Any:
    """Return a script of an API that is down for a while: with a status, or "refused"."""
    failure = TransportError("connect", "refused", sent=False, transient=True)

    def script(value: Any, attempt: int) -> Answer:
        if not begin <= trio.current_time() < end:
            return Answer(0.05)
        return Answer(failure=failure) if status == "refused" else Answer(0.05, status)

    return script


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize(
    ("good", "bad", "seconds"),
    [(4, 1, 130), (20, 1, 10), (200, 1, 60), (20, 5, 150), (20, 20, 300)],
)
async def test_refused_records_at_the_end_of_the_input_end_alone(
    autojump_clock: trio.abc.Clock, good: int, bad: int, seconds: float, limit: int, status: int
) -> None:
    """The run is not given up for them; the fewer they are, the sooner they end."""
    count = good + bad
    scenario = Scenario(
        {"a": refusing(range(good, count), status)}, range(count), api={"limit": limit}
    )
    await scenario.play()
    assert scenario.errors("a") == [None] * good + ["status"] * bad
    assert [result["a"].status for result in scenario.sink.results[good:]] == [status] * bad
    assert scenario.run.ending is Ending.FINISHED
    assert trio.current_time() < seconds


@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("status", [500, 429, 503])
async def test_refused_records_in_a_row_do_not_stop_those_after_them(
    autojump_clock: trio.abc.Clock, status: int, limit: int
) -> None:
    """Twenty records with a failure of their own come before twenty good ones."""
    scenario = Scenario({"a": refusing(range(20), status)}, range(40), api={"limit": limit})
    await scenario.play()
    assert scenario.errors("a") == ["status"] * 20 + [None] * 20
    assert scenario.run.ending is Ending.FINISHED
    good = [at for at, value in scenario.transports["a"].sent_at if value >= 20]
    assert len(good) == 20
    assert max(good) < (5 if status == 500 else 60)


@pytest.mark.parametrize("seconds", [10, 60])
async def test_an_outage_at_the_end_of_the_input_costs_no_record(
    autojump_clock: trio.abc.Clock, seconds: float
) -> None:
    """With 30 calls left, an outage is likelier than that all of them are at fault."""
    scenario = Scenario(
        {"a": down_between(0.1, 0.1 + seconds)}, range(158), api={"limit": 64, "retries": 1}
    )
    await scenario.play()
    assert scenario.errors("a") == [None] * 158


async def test_an_outage_costs_no_record_where_others_wait_for_room(
    autojump_clock: trio.abc.Clock,
) -> None:
    """The window is full of calls that were refused, but they are not the last ones."""
    source = ListSource([(0.0, list(range(40)))])
    scenario = Scenario({"a": down_between(0.5, 120.0)}, source=source, api={"limit": 6}, window=6)
    await scenario.play()
    assert scenario.errors("a") == [None] * 40


async def test_an_outage_after_an_idle_hour_is_waited_out(autojump_clock: trio.abc.Clock) -> None:
    """It began with the first failure, not when the API last served."""
    source = ListSource([(0.0, [1]), (3600.0, [2, 3, 4, 5, 6, 7])])
    scenario = Scenario({"a": down_between(3600.0, 3610.0)}, source=source)
    await scenario.play()
    assert scenario.errors("a") == [None] * 7
    assert trio.current_time() < 3615


async def test_a_refused_record_before_a_pause_of_the_input_costs_no_others(
    autojump_clock: trio.abc.Clock,
) -> None:
    """The API seemed to be down all the time, but those that come later have not waited for it."""
    source = ListSource([(0.0, [1, 2, 3]), (600.0, [4, 5, 6])])
    scenario = Scenario({"a": refusing(range(3, 4), 503)}, source=source)
    await scenario.play()
    assert scenario.errors("a") == [None, None, "status", None, None, None]
    assert trio.current_time() < 605


@pytest.mark.parametrize("status", [503, "refused"])
@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("count", [4, 5])
@pytest.mark.parametrize("seconds", [10, 30, 50])
async def test_a_few_records_wait_for_an_api_that_is_not_up_yet(
    autojump_clock: trio.abc.Clock, seconds: float, count: int, limit: int, status: Any
) -> None:
    scenario = Scenario(
        {"a": down_between(0.0, seconds, status)}, range(count), api={"limit": limit}
    )
    await scenario.play()
    assert scenario.errors("a") == [None] * count
    assert trio.current_time() < 1.25 * seconds + 1


@pytest.mark.parametrize("status", [503, "refused"])
@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("count", [1, 2])
async def test_one_or_two_records_end_at_once_at_an_api_that_is_not_there(
    autojump_clock: trio.abc.Clock, count: int, limit: int, status: Any
) -> None:
    """So a mistake in a URL is told at once."""
    scenario = Scenario({"a": down_between(0.0, 1e9, status)}, range(count), api={"limit": limit})
    await scenario.play()
    assert scenario.errors("a") == ["connect" if status == "refused" else "status"] * count
    assert trio.current_time() < 2
    assert len(scenario.transports["a"].sent_at) == 3 * count


@pytest.mark.parametrize("status", [503, "refused"])
@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("count", [4, 5])
async def test_a_few_records_wait_a_minute_for_an_api_that_never_comes_up(
    autojump_clock: trio.abc.Clock, count: int, limit: int, status: Any
) -> None:
    scenario = Scenario({"a": down_between(0.0, 1e9, status)}, range(count), api={"limit": limit})
    await scenario.play()
    assert scenario.errors("a") == ["cancelled"] * count
    assert scenario.run.ending is Ending.GIVEN_UP
    assert trio.current_time() == pytest.approx(60, abs=1)
    assert len(scenario.transports["a"].sent_at) < 50


@pytest.mark.parametrize("status", [503, "refused"])
@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("seconds", [10, 30, 90])
async def test_an_outage_costs_none_of_the_last_few_records(
    autojump_clock: trio.abc.Clock, seconds: float, count: int, limit: int, status: Any
) -> None:
    source = ListSource([(0.0, list(range(20))), (60.0, list(range(count)))])
    script = down_between(50.0, 60.0 + seconds, status)
    scenario = Scenario({"a": script}, source=source, api={"limit": limit})
    await scenario.play()
    assert scenario.errors("a") == [None] * (20 + count)
    assert trio.current_time() < 62 + 1.25 * seconds


@pytest.mark.parametrize("status", [503, "refused"])
@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("seconds", [10, 90])
@pytest.mark.parametrize("pause", [0.3, 0.5, 1.0, 1.5, 1.9, 3.0, 5.0, 20.0, 60.0])
async def test_an_outage_costs_no_record_of_a_slow_input(
    autojump_clock: trio.abc.Clock, pause: float, seconds: float, limit: int, status: Any
) -> None:
    """The next record shows that the first one that is refused is not at fault."""
    begin = 20.5 * pause
    source = ListSource([(pause, [number]) for number in range(40 + int(seconds / pause))])
    script = down_between(begin, begin + seconds, status)
    scenario = Scenario({"a": script}, source=source, api={"limit": limit})
    await scenario.play()
    assert set(scenario.errors("a")) == {None}


async def test_a_refused_record_of_a_slow_input_ends_once_others_are_served(
    autojump_clock: trio.abc.Clock,
) -> None:
    source = ListSource([(5.0, [number]) for number in range(60)])
    scenario = Scenario({"a": refusing(range(1), 503)}, source=source)
    await scenario.play()
    assert scenario.errors("a") == ["status"] + [None] * 59
    assert scenario.sink.written_at[0] < 60


async def test_calls_that_come_after_the_last_ones_were_judged_wait_as_long_as_others(
    autojump_clock: trio.abc.Clock,
) -> None:
    source = ListSource([(0.0, [0]), (1.0, [1]), (200.0, [2]), (900.0, [3])])
    scenario = Scenario({"a": down_between(0.5, 1e9)}, source=source)
    await scenario.play()
    assert scenario.errors("a") == [None, "status", "cancelled"]
    assert scenario.run.ending is Ending.GIVEN_UP
    assert trio.current_time() == pytest.approx(501.0, abs=0.1)


@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("status", [429, 503, 502])
async def test_without_a_breaker_calls_do_not_wait_for_an_api_that_never_served(
    autojump_clock: trio.abc.Clock, status: int, limit: int
) -> None:
    """They end after their retries: nothing else would end the run."""
    scenario = Scenario(
        {"a": refusing(range(100), status)},
        range(100),
        api={"breaker": False, "limit": limit, "idempotent": True},
    )
    await scenario.play()
    assert scenario.errors("a") == ["status"] * 100
    assert {result["a"].attempts for result in scenario.sink.results} == {3}
    assert trio.current_time() < 300 * 0.05 / limit + 1


@pytest.mark.parametrize("limit", [1, 64])
@pytest.mark.parametrize("status", [429, 503])
async def test_without_a_breaker_calls_wait_a_minute_for_an_api_that_has_served(
    autojump_clock: trio.abc.Clock, status: int, limit: int
) -> None:
    script = down_between(1.0, 50.0, status)
    scenario = Scenario({"a": script}, range(2000), api={"breaker": False, "limit": limit})
    await scenario.play()
    assert scenario.errors("a") == [None] * 2000
    assert trio.current_time() < 70 + 2000 * 0.05 / limit
    script = down_between(1.0, 1e9, status)
    source = ListSource([(0.0, [1]), (1.0, list(range(199)))])
    scenario = Scenario({"a": script}, source=source, api={"breaker": False, "limit": limit})
    began = trio.current_time()
    await scenario.play()
    assert scenario.errors("a")[1:] == ["status"] * 199
    assert trio.current_time() - began < 120


@pytest.mark.parametrize("on_down", ["wait", "fail"])
async def test_a_run_is_given_up_once_all_of_its_apis_are_down(
    autojump_clock: trio.abc.Clock, on_down: str
) -> None:
    """Then `on_down = "fail"` would only burn what is left."""
    refuse = refusing(range(1000), 503)
    scenario = Scenario(
        {"a": refuse, "b": refuse},
        range(1000),
        api={"breaker": {"wait": "20s"}},
        on_down=on_down,
    )
    await scenario.play()
    assert scenario.run.ending is Ending.GIVEN_UP
    assert set(scenario.errors("a") + scenario.errors("b")) <= {"cancelled", "breaker_open"}
    assert scenario.errors("a").count("cancelled") > 900
    assert trio.current_time() < 25

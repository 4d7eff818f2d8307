"""What the statistics keep for the summary: failures with a sample, and what had an effect."""

from __future__ import annotations

from typing import Any

import pytest
from support.scripted import Answer, Scenario, answers

from tmux_fanout.core.report.failures import FailedCalls
from tmux_fanout.core.report.statistics import ApiStatistics


def failures(api: ApiStatistics) -> list[FailedCalls]:
    return list(api.failures)


def busy(value: Any, attempt: int) -> Answer:
    """Refuse the records from 6 on, each with a body of its own; the later ones sooner."""
    return Answer(1.0 - value / 100, 422 if value >= 6 else 200)


async def test_the_sample_of_a_failure_is_that_of_the_last_record(autojump_clock: object) -> None:
    """By the order of the input, whichever was answered last."""
    scenario = Scenario({"a": busy, "b": answers(Answer(0.1))}, list(range(9)))
    await scenario.play()
    stats = scenario.run.statistics
    assert failures(stats.apis[0]) == [FailedCalls("status", 422, 3, 8, "HTTP 422", b"8")]
    assert stats.failures == {("a", "status", 422): 3}
    assert failures(stats.apis[1]) == []


async def test_failures_of_an_api_and_of_its_fallback_count_apart(autojump_clock: object) -> None:
    """A record that the fallback has failed counts under the fallback's name."""
    scripts = {"a": answers(Answer(0.1, 404)), "b": busy}
    each = {"b": {"fallback_of": "a", "fallback_on": [404]}}
    scenario = Scenario(scripts, list(range(8)), each=each)
    await scenario.play()
    stats = scenario.run.statistics
    assert [(each.status, each.count) for each in stats.apis[0].failures] == [(404, 8)]
    assert [(each.status, each.count) for each in stats.apis[1].failures] == [(422, 2)]
    assert stats.failures == {("b", "status", 422): 2}


async def test_items_of_a_batch_count_by_themselves(autojump_clock: object) -> None:
    """So do what `select` finds in them, and their failures."""

    def script(value: Any, attempt: int) -> Answer:
        return Answer(0.1, body=b'[{"other": 1}, {"other": 2}]')

    batch = {"batch": {"size": 2}, "select": "score"}
    scenario = Scenario({"a": script}, list(range(5)), api=batch)
    await scenario.play()
    (api,) = scenario.run.statistics.apis
    assert (api.calls, api.has_found, api.nothing_in) == (5, False, b'{"other": 2}')
    assert [(each.kind, each.count, each.record) for each in api.failures] == [("protocol", 1, 4)]


@pytest.mark.parametrize(
    ("body", "headers", "shown"),
    [
        (b"", (), b"null"),
        (
            b'{"\xe9": 1}',
            ((b"content-type", b"text/html; charset=latin1"),),
            '{"\u00e9": 1}'.encode(),
        ),
    ],
)
async def test_what_select_found_nothing_in_is_shown_as_text(
    autojump_clock: object, body: bytes, headers: Any, shown: bytes
) -> None:
    """No body at all is null; another charset becomes UTF-8."""
    script = answers(Answer(0.1, body=body, headers=headers))
    scenario = Scenario({"a": script}, [1], api={"select": "score"})
    await scenario.play()
    (api,) = scenario.run.statistics.apis
    assert (api.has_found, api.nothing_in) == (False, shown)


@pytest.mark.parametrize("select", ["@", "x || `0`"])
async def test_what_select_finds_once_is_remembered(autojump_clock: object, select: str) -> None:
    """Whatever comes after that."""
    scenario = Scenario({"a": answers(Answer(0.1))}, [{}, None, 1], api={"select": select})
    await scenario.play()
    assert scenario.run.statistics.apis[0].has_found


async def test_fields_count_once_a_record_is_to_be_sent(autojump_clock: object) -> None:
    """Those of a record that `when` rules out do not, nor does null."""
    values = [{"id": 1, "a": 1}, {"id": 2, "a": None, "b": 1, "go": True}, {"id": 3, "go": True}]
    keys = {"url": "https://a.example/{id}", "headers": {"A": "{a}", "B": "{b}"}, "when": "go"}
    scenario = Scenario({"a": answers(Answer(0.1))}, values, api=keys)
    await scenario.play()
    (api,) = scenario.run.statistics.apis
    assert api.fields_seen == {"id", "b"}
    assert (api.calls, api.skipped, api.ruled_out) == (3, 1, 1)

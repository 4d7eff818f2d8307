"""Settings without any effect: what is said of them, and when nothing is."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.nothing import (
    Settings,
    Trial,
    never_true,
    shows_effects,
    without_effect,
)
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.requests.series.pages import PagesPlan
from tmux_fanout.core.results.outcome import Outcome

OK = Outcome(True, 200, None, None, 1, 0.1)
RULED_OUT = Outcome(True, skipped=True)
NOT_REACHED = Outcome(False, error=ErrorInfo("template", "b is not ok"), skipped=True)
CANCELLED = Outcome(False, error=ErrorInfo("cancelled", "stopped; not sent"))


def settings(**keys: Any) -> Settings:
    api = Api("a", **{"url": "https://a.example/", **keys})
    plan = plan_run([api], RunSettings(), {}).apis[0]
    pages = plan.series if isinstance(plan.series, PagesPlan) else None
    return Settings("a", plan.requests, plan.responses, is_first=True, pages=pages)


def found(api: Settings, *outcomes: Outcome, **counts: Any) -> list[str]:
    """Return what is said of a run with these outcomes, and other counts of its API."""
    stats = RunStatistics(["a"])
    for outcome in outcomes:
        stats.apis[0].settled(outcome)
    for name, value in counts.items():
        setattr(stats.apis[0], name, value)
    return without_effect(stats, [api])


WHEN = settings(when="level == 'error'")


@pytest.mark.parametrize(
    ("outcomes", "is_said"),
    [
        ([RULED_OUT] * 2, True),
        ([RULED_OUT, NOT_REACHED], True),
        ([RULED_OUT, OK], False),
        ([RULED_OUT, CANCELLED], False),
        ([NOT_REACHED], False),
        ([], False),
    ],
    ids=["all", "all-that-was-reached", "one-called", "one-due", "none-reached", "no-record"],
)
def test_when_that_was_never_true(outcomes: list[Outcome], is_said: bool) -> None:
    """It is named where it ruled out every call that it was asked about."""
    text = (
        "a: when \"level == 'error'\" is true of no record, so it is never called; "
        "tmux-fanout explain tries it"
    )
    assert found(WHEN, *outcomes) == [text] * is_said


@pytest.mark.parametrize(
    ("when", "advice"),
    [
        ("level == error", "error without quotes is a field: for text, write level == 'error'"),
        ("ok && a.level != x", "x without quotes is a field: for text, write ok && a.level != 'x'"),
        (
            "(a == b) || a == c",
            "b without quotes is a field; c without quotes is a field: for text, write "
            "(a == 'b') || a == 'c'",
        ),
        ("level == error.kind", "tmux-fanout explain tries it"),
        ("level == lower(x)", "tmux-fanout explain tries it"),
        ("'x' == level", "tmux-fanout explain tries it"),
        ("level == @.error", "tmux-fanout explain tries it"),
    ],
)
def test_when_that_compares_with_a_bare_name(when: str, advice: str) -> None:
    """Two fields may be compared on purpose; where that is never true, text was probably meant."""
    assert found(settings(when=when), RULED_OUT)[0].endswith(f"so it is never called; {advice}")


def test_select_that_found_nothing() -> None:
    """It is named with the beginning of a response, unless it found something once."""
    api = settings(select="scor")
    text = "a: select 'scor' found nothing in any response, such as {\"score\": 1}"
    assert found(api, OK, nothing_in=b'{"score":\n 1}') == [text]
    assert found(api, OK, OK, nothing_in=b"{}", has_found=True) == []
    assert found(api, CANCELLED) == []


def test_fields_that_no_record_has() -> None:
    """Each is named with its place, if any request was to be made at all."""
    api = settings(url="https://a.example/{id}{?lang}", headers={"X-Tenant": "{org.id}-{id}"})
    text = "a: no record has a value for lang (url), org.id (header X-Tenant)"
    assert found(api, OK, fields_seen={"id"}) == [text]
    assert found(api, OK, fields_seen={"id", "lang", "org.id"}) == []
    assert found(api, RULED_OUT) == []


def test_nothing_is_said_of_a_resumed_run() -> None:
    """What had no effect on the rest may have had one before."""
    stats = RunStatistics(["a"])
    stats.resumed = 3
    stats.apis[0].settled(RULED_OUT)
    assert without_effect(stats, [WHEN]) == []


@pytest.mark.parametrize(
    ("when", "is_said"),
    [
        ("`false`", True),
        ("'a' == 'b'", True),
        ("`[]` || ''", True),
        ("'a' == 'a'", False),
        ("level == 'x'", False),
        ("@", False),
        ("[0]", False),
        ("length('')", False),
        ("`1` < `0`", True),
    ],
)
def test_when_that_can_never_be_true(when: str, is_said: bool) -> None:
    """What looks at no record is known before any is read."""
    assert bool(never_true([settings(when=when)])) == is_said


def record(json: bytes, error: ErrorInfo | None = None) -> Record:
    return Record(0, json, json, error)


def test_trial_ends_once_each_setting_had_an_effect() -> None:
    """A `when` that held once, and a value for each field, are enough, in whichever records."""
    trial = Trial(settings(when="ok", url="https://a.example/{id}", headers={"X": "{x}"}))
    assert trial.needs(record(b'{"id": 1, "x": 2}'))  # it is not called for this one
    assert trial.needs(record(b"x", ErrorInfo("invalid_record", "not JSON")))
    assert "is true of no record" in trial.without_effect()[0]
    assert trial.needs(record(b'{"ok": 1, "id": 1, "x": null}'))
    assert trial.without_effect() == ["a: no record has a value for x (header X)"]
    assert not trial.needs(record(b'{"ok": 1, "x": 2}'))
    assert trial.without_effect() == []


def test_trial_leaves_an_expression_that_fails_to_the_run() -> None:
    """A record that `when` fails on is not ok, which is not silent."""
    trial = Trial(settings(when="length(id) > `1`"))
    assert not trial.needs(record(b'{"id": 1}'))
    assert trial.without_effect() == []


def test_trial_leaves_open_what_depends_on_the_time() -> None:
    """The run is later than the trial, and may be called for then."""
    trial = Trial(settings(when="starts_with(now(), '2')"))
    assert not trial.needs(record(b'{"id": 1}'))
    assert trial.without_effect() == []


@pytest.mark.parametrize(
    ("ending", "written", "expected"),
    [
        (Ending.FINISHED, 1, True),
        (Ending.SIGTERM, 1, False),
        (Ending.GIVEN_UP, 99, False),
        (Ending.SIGINT, 100, True),
    ],
)
def test_a_run_that_ends_early_shows_effects_after_enough_records(
    ending: Ending, written: int, *, expected: bool
) -> None:
    """Nothing had a chance in a run that was stopped after its first record."""
    stats = RunStatistics(["a"])
    stats.written = written
    assert shows_effects(stats, ending) is expected


@pytest.mark.parametrize(("next_page", "shown"), [("link", "'link'"), ("meta.nxt", "'meta.nxt'")])
def test_pages_that_never_lead_on(next_page: str, shown: str) -> None:
    """The first page alone looks like a whole list."""
    api = settings(method="GET", pages={"next": next_page})
    text = f"a: pages.next {shown} found no next page in any response: there is none"
    assert found(api, OK, no_next="there is none") == [text]
    assert found(api, OK, no_next="there is none", has_next=True) == []
    assert found(api, OK) == []

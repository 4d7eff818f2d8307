"""The page on how a run stands."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.display.status import Since, Status, since_now, status_page
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.ordering.window import Window
from tmux_fanout.core.report.load import EndpointLoad, Load, add_loads
from tmux_fanout.core.report.progress import HeadOfLine, Total
from tmux_fanout.core.report.statistics import RunStatistics
from tmux_fanout.core.report.waits import Wait


def status(**changes: Any) -> Status:
    """Return a run with two APIs, 100 s after its beginning."""
    stats = RunStatistics(["lookup", "score"])
    stats.read, stats.written, stats.ok = 120, 100, 100
    lookup, score = stats.apis
    lookup.attempts, lookup.in_flight, lookup.limit = 150, 4, 4
    score.attempts, score.limit = 40, 8
    window = Window(64, 1 << 20)
    window.enter(2048)
    usual = Status(
        stats,
        elapsed=100.0,
        since=Since(90.0, 80, [50, 40]),
        total=Total(1000, is_exact=True),
        window=window,
        head=None,
        waits=[None, None],
        loads=[Load(7), Load()],
        memory=45 << 20,
        ending=Ending.FINISHED,
        stops_in=None,
    )
    return usual._replace(**changes)


def test_page_has_rates_since_the_page_before() -> None:
    """Records, room, and a row for each API."""
    assert status_page(status(), 100).splitlines() == [
        "tmux-fanout: after 1 min 40 s: 100 records written, 10% of 1,000, 2 records/s, 120 read, "
        "100 ok,",
        "0 not ok",
        "window: 1 of 64 records, 2 KiB of 1 MiB, memory: 45 MiB",
        "API     in flight  limit  queued  calls  attempts  per s  p50  p99",
        "lookup          4      4       7      0       150     10    -    -",
        "score           0      8       0      0        40      0    -    -",
        "lookup: all slots are taken",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"waits": [None, Wait("paused", "Retry-After", 42.1)]}, "score: paused by Retry-After"),
        ({"head": HeadOfLine(7, "score: attempt 1", 1)}, "record 7, before 1 result, score: att"),
        ({"head": HeadOfLine(7, "", 0)}, "record 7, before no results, its calls have ended"),
        ({"ending": Ending.SIGTERM, "stops_in": 9.5}, "SIGTERM, calls are cancelled in 10 s"),
        (
            {"loads": [Load(0, [EndpointLoad("", 0, "down", None, None, "HTTP 503")]), Load()]},
            "lookup: down (HTTP 503), being tried",
        ),
        (
            {"loads": [Load(0, [EndpointLoad("eu", 3), EndpointLoad("us", 0, "paused", 3.0)])] * 2},
            "lookup: us: 0 in flight, paused by the server, 3 s left",
        ),
        (
            {"loads": [Load(0, [EndpointLoad("", 0, "throttled", 0.1, 2.5, "HTTP 429")]), Load()]},
            "lookup: refuses (HTTP 429), paced at 2.5/s",
        ),
        ({"since": Since(100.0, 100, [150, 40])}, "- records/s"),
    ],
)
def test_page_says_what_is_waited_for(changes: dict[str, object], expected: str) -> None:
    """Pauses, breakers, the head of the line and the ending are named."""
    assert expected in status_page(status(**changes), 200)


def test_rates_are_taken_from_what_was_counted() -> None:
    """The counts of one page are where the rates of the next one begin."""
    run = status()
    assert since_now(run.statistics, 100.0) == Since(100.0, 100, [150, 40])


def test_loads_of_processes_are_added_up() -> None:
    """Queues and paces add up; the worst condition of an endpoint counts."""
    paced = EndpointLoad("", 2, "throttled", 0.0, 4.0, "HTTP 429")
    down = EndpointLoad("", 1, "down", 3.0, 6.0, "HTTP 503")
    assert add_loads([Load(3, [paced]), Load(4, [down])]) == Load(
        7, [EndpointLoad("", 3, "down", 3.0, 10.0, "HTTP 503")]
    )
    assert add_loads([Load(3, [paced]), Load(4, [EndpointLoad("", 1)])]).endpoints[0].pace is None
    assert add_loads([]) == Load(0, [])

"""Dividing limits among processes, adding up their counts, and their messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.dealing.messages import (
    Asks,
    Counted,
    Deal,
    Done,
    Frames,
    Granted,
    Notice,
    Order,
    Report,
    Stop,
    decode_order,
    decode_report,
    encode_message,
)
from tmux_fanout.core.dealing.shares import max_workers, plan_for_dealer, plan_for_worker
from tmux_fanout.core.errors import ErrorInfo, Failure
from tmux_fanout.core.policy.rate import BURST_SECONDS
from tmux_fanout.core.report.failures import FailedCalls
from tmux_fanout.core.report.merge import counts_of, gone, merge
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.sharing.lease import Ask, Grant


def plan_of(**api: Any) -> RunPlan:
    apis = [Api("a", "http://a.test/", **api), Api("b", "http://b.test/")]
    return plan_run(apis, RunSettings(total_limit=100), {})


@given(st.integers(1, 70), st.integers(1, 64))
def test_shares_add_up(limit: int, wanted: int) -> None:
    """Shares of limits add up to what was configured, and every process has one."""
    plan = plan_of(limit=limit)
    number = min(wanted, max_workers(plan).number)
    shares = [plan_for_worker(plan, index, number) for index in range(number)]
    assert sum(share.apis[0].limit for share in shares) == limit
    assert sum(share.apis[1].limit for share in shares) == 64
    assert sum(share.settings.total_limit or 0 for share in shares) == 100
    assert min(share.apis[0].limit for share in shares) >= 1


@given(st.integers(1, 40), st.integers(10, 400), st.integers(1, 64))
def test_shares_of_endpoints_add_up(limit: int, rate: int, wanted: int) -> None:
    """Every process may use each endpoint, and all of them together use it as one would."""
    endpoints: list[Any] = [
        {"url": "http://a.test", "limit": limit, "rate": f"{rate}/s"},
        "http://b.test",
    ]
    plan = plan_run([Api("a", endpoints=endpoints)], RunSettings(limit=64), {})
    number = min(wanted, max_workers(plan).number)
    shares = [plan_for_worker(plan, index, number).apis[0].endpoints for index in range(number)]
    assert sum(first.limit or 0 for first, _ in shares) == limit
    assert min(first.limit or 0 for first, _ in shares) >= 1
    assert sum(first.rate or 0 for first, _ in shares) == pytest.approx(rate)
    assert all(not other.is_bounded for _, other in shares)


@given(st.integers(1, 500), st.integers(1, 64))
def test_rates_and_bursts_add_up(rate: int, wanted: int) -> None:
    """A burst is at least one attempt, so more processes would let more through at once."""
    plan = plan_of(rate=f"{rate}/s")
    number = min(wanted, max_workers(plan).number)
    shares = [plan_for_worker(plan, index, number).apis[0].rate for index in range(number)]
    rates = [share.requests or 0 for share in shares if share]
    assert sum(rates) == pytest.approx(rate)
    bursts = sum(max(1.0, each * BURST_SECONDS) for each in rates)
    assert bursts == pytest.approx(max(1.0, rate * BURST_SECONDS))


def test_adaptive_bounds_are_shared() -> None:
    plan = plan_of(limit={"min": 3, "max": 9})
    bounds = [plan_for_worker(plan, index, 4).apis[0].adaptive for index in range(4)]
    assert [(each.min, each.max) for each in bounds if each] == [(1, 3), (1, 2), (1, 2), (1, 2)]


def test_window_of_the_dealer_is_not_stretched() -> None:
    """The dealer cannot know whether the slots of workers idle."""
    dealer = plan_for_dealer(plan_run([Api("a", "http://a.test/")], RunSettings(), {}))
    assert dealer.stretched_window == dealer.window == 1024


def test_window_bytes_are_shared() -> None:
    """The dealer has half of the bytes, and all workers together have the other half."""
    plan = plan_of()
    whole = plan.settings.window_bytes
    assert plan_for_dealer(plan).settings.window_bytes == whole // 2
    assert plan_for_worker(plan, 0, 4).settings.window_bytes == whole // 8


@pytest.mark.parametrize(
    ("api", "number", "why"),
    [
        ({"limit": 5}, 5, "a's limit of 5"),
        ({"limit": {"min": 1, "max": 8}}, 8, "a's limit of 8"),
        ({"rate": "600/m"}, 1, "a's rate of 10/s"),
        ({"limit": 200}, 64, "b's limit of 64"),
    ],
)
def test_max_workers_names_the_setting_that_allows_no_more(
    api: dict[str, Any], number: int, why: str
) -> None:
    assert max_workers(plan_of(**api)) == (number, why)


def statistics(seconds: float, *, calls: int) -> ApiStatistics:
    api = ApiStatistics("a")
    for _ in range(calls):
        api.settled(Outcome(True, 200, None, None, 1, seconds))
    failed = Outcome(False, 503, embed(b"no"), ErrorInfo("status", "HTTP 503"))
    api.settled(failed)
    api.failed(failed, calls)
    api.attempts, api.in_flight, api.limit = calls, 2, 8
    api.held.note("limit", 0.0)
    api.held.note(None, seconds)
    api.spent.waiting = seconds
    return api


def test_counts_are_added_up() -> None:
    """Counts are summed, but time spent waiting side by side is averaged."""
    total = ApiStatistics("a")
    counts = [
        counts_of(statistics(1.0, calls=10)),
        gone(counts_of(statistics(3.0, calls=30))),
    ]
    for _ in range(2):  # a merge replaces the one before
        merge(total, counts, 2)
    assert (total.name, total.calls, total.attempts) == ("a", 42, 40)
    assert list(total.failures) == [FailedCalls("status", 503, 2, 30, "HTTP 503", b'"no"')]
    assert (total.in_flight, total.limit) == (2, 8)
    assert (total.held.seconds["limit"], total.spent.waiting) == (2.0, 4.0)
    assert (total.latency.count, total.latency.max) == (40, 3.0)
    assert total.latency.percentile(0.2) == pytest.approx(1.0, rel=0.03)
    assert total.latency.percentile(0.5) == pytest.approx(3.0, rel=0.03)


ORDERS: list[Order] = [
    Deal([7, 8], [b'{"a":1}', b""]),
    Stop("SIGINT"),
    Granted(Grant(3, (8, 0), 10.0, 2.0)),
]
REPORTS: list[Report] = [
    Done(
        [7, 8],
        [b'{"index":7}\n', b""],
        {8: [Failure("a", "tls"), Failure("b", "status", 503)]},
        {7: [Outcome(True, 200)]},
    ),
    Done(
        [9], [b""], {}, {9: [Outcome(True, 200, headers={"etag": "x", "set-cookie": ["a", "b"]})]}
    ),
    Counted(
        [counts_of(statistics(1.0, calls=3))], 0.5, waits=[Wait("paused", "Retry-After", 3.5), None]
    ),
    Notice("a: there again"),
    Asks(Ask(3, 2, (8, 1), is_idle=True)),
]


@given(st.lists(st.integers(1, 40)))
def test_messages_are_found_however_their_bytes_are_split(sizes: list[int]) -> None:
    data = b"".join(encode_message(each) for each in ORDERS)
    data += b"".join(encode_message(each) for each in REPORTS)
    frames, found = Frames(), []
    for size in [*sizes, len(data)]:
        found += frames.feed(data[:size])
        data = data[size:]
    orders = [decode_order(each) for each in found[: len(ORDERS)]]
    assert orders == ORDERS
    assert [decode_report(each) for each in found[len(ORDERS) :]] == REPORTS


def test_plan_of_a_worker_has_no_max_failures() -> None:
    plan = replace(plan_of(), max_failures=object())
    assert plan_for_worker(plan, 0, 2).max_failures is None

"""Limits that processes share, adding up their counts, and their messages."""

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
    Count,
    Counted,
    Deal,
    Done,
    Found,
    Frames,
    Granted,
    Heard,
    Notice,
    Order,
    Report,
    Stop,
    Tune,
    Wants,
    decode_order,
    decode_report,
    encode_message,
)
from tmux_fanout.core.dealing.shares import (
    max_workers,
    plan_for_dealer,
    plan_for_worker,
    shared_limits,
)
from tmux_fanout.core.errors import ErrorInfo, Failure
from tmux_fanout.core.policy.rate import BURST_SECONDS
from tmux_fanout.core.report.failures import FailedCalls
from tmux_fanout.core.report.load import EndpointLoad, Load
from tmux_fanout.core.report.merge import counts_of, gone, merge
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.conditions import Failure as NotServed
from tmux_fanout.core.sharing.lease import Ask, Grant
from tmux_fanout.core.tuning.tuning import ApiTuning, Tuning


def plan_of(**api: Any) -> RunPlan:
    apis = [Api("a", "http://a.test/", **api), Api("b", "http://b.test/")]
    return plan_run(apis, RunSettings(total_limit=100), {})


def names(plan: RunPlan) -> list[tuple[str, int, int | None, int]]:
    return [(each.kind, each.api, each.endpoint, each.amount.whole) for each in shared_limits(plan)]


def test_all_limits_are_shared() -> None:
    """Slots and rates of APIs and endpoints, and what all APIs share."""
    endpoints: list[Any] = [
        {"url": "http://a.test", "limit": 9, "rate": "80/s"},
        {"url": "http://b.test", "limit": 5, "rate": {"tokens": "90/m"}},
    ]
    apis = [
        Api("a", endpoints=endpoints, cost="a", price={"call": "1"}),
        Api("b", "http://b.test/", limit=3),
    ]
    plan = plan_run(apis, RunSettings(total_limit=100, max_cost="2"), {})
    assert names(plan) == [
        ("slots", 0, None, 14),
        ("slots", 0, 0, 9),
        ("rate", 0, 0, 8),
        ("slots", 0, 1, 5),
        ("rate", 0, 1, 5040),
        ("slots", 1, None, 3),
        ("total", 0, None, 100),
        ("cost", 0, None, 2 * 10**12),
    ]
    assert [each.amount.is_budget for each in shared_limits(plan)] == [False] * 7 + [True]


def test_rate_of_a_group_is_shared_once() -> None:
    apis = [Api(name, "http://a.test/", rate="50/s", rate_group="g") for name in "ab"]
    plan = plan_run(apis, RunSettings(), {})
    assert [each for each in names(plan) if each[0] == "rate"] == [("rate", 0, None, 5)]


@given(st.integers(1, 500))
def test_parts_of_a_rate_have_bursts_of_one_attempt_or_more(rate: int) -> None:
    """A burst is at least one attempt, so smaller parts would let more through at once."""
    plan = plan_of(rate=f"{rate}/s")
    parts = next(each.amount.whole for each in shared_limits(plan) if each.kind == "rate")
    assert rate * BURST_SECONDS / parts >= 1 or parts == 1
    assert max_workers(plan).number <= parts


def test_rate_of_tokens_can_be_shared_by_many() -> None:
    plan = plan_of(rate={"tokens": "90/m"}, cost="chars/4")
    assert next(each.amount.whole for each in shared_limits(plan) if each.kind == "rate") >= 1000


def test_window_bytes_are_shared() -> None:
    """The dealer has half of the bytes, and all workers together have the other half."""
    plan = plan_of()
    whole = plan.settings.window_bytes
    assert plan_for_dealer(plan).settings.window_bytes == whole // 2
    assert plan_for_worker(plan, 4).settings.window_bytes == whole // 8


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


CONDITION = Condition(0, 1, 3.5, "Retry-After", 2.0, 0.5, NotServed(503), pace=8.5)
ORDERS: list[Order] = [
    Count(),
    Tune(Tuning([ApiTuning(0.5, 0.1, True)], 0.25), 12, True),
    Deal([7, 8], [b'{"a":1}', b""]),
    Stop("SIGINT"),
    Granted(Grant(3, (8, 0), 10.0, 2.0)),
    Heard([CONDITION]),
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
        [counts_of(statistics(1.0, calls=3))],
        0.5,
        waits=[Wait("paused", "Retry-After", 3.5), None],
        loads=[Load(3, [EndpointLoad("", 2, "paused", 3.5, None, "Retry-After")])],
        memory=1 << 20,
    ),
    Notice("a: there again"),
    Asks(Ask(3, 2, (8, 1), is_idle=True)),
    Found([CONDITION, Condition(0, 0, failure=NotServed(None, "connect", "refused"))]),
    Wants(96, 1024),
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
    assert plan_for_worker(plan, 2).max_failures is None

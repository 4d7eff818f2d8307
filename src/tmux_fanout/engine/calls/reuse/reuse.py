"""What a caller does so that answers are used again: by `share`, by `cache`, by both or neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.reuse.identity import Identity
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.outcomes.settler import OutcomeOf
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.reuse.caching import Caching, Prepare
from tmux_fanout.engine.calls.reuse.sharing import Settled, Sharing
from tmux_fanout.engine.calls.reuse.store import Store


class Reuse(NamedTuple):
    """The steps of a call; without `share` and `cache` they are those that it would have anyway.

    Attributes:
        prepare: returns its request, its outcome, or None if it waits for an answer.
        outcome_of: turns an answer into its outcome.
        settled: called with it once it has its outcome.
        is_head: returns whether the output waits for it.
        sharing: has calls share answers, or None.
    """

    prepare: Prepare
    outcome_of: OutcomeOf
    settled: Settled
    is_head: Callable[[Call], bool]
    sharing: Sharing | None


def plan_reuse(
    plan: ApiPlan,
    payloads: Payloads,
    statistics: ApiStatistics,
    store: Store | None,
    *,
    settled: Settled,
    is_head: Callable[[Call], bool],
    may_start: Callable[[Call], bool],
    settle: Callable[[Call, Outcome], None],
    submit: Callable[[Call, float], None],
    withdraw: Callable[[Call], bool],
    start: Callable[[], object],
    notify: Callable[[str], None],
    nursery: trio.Nursery,
) -> Reuse:
    """Return the steps of an API's calls.

    Args:
        plan: the API.
        payloads: builds its requests, and reads the answers.
        statistics: counts answers that were used again.
        store: its cache, or None.
        settled, is_head, may_start: as for `Caller`.
        settle, submit, withdraw, start, notify, nursery: as for `Sharing` and `Caching`.
    """
    sharing = None
    prepare: Prepare = payloads.prepare
    outcome_of: OutcomeOf = payloads.outcome_of
    if plan.share:
        sharing = Sharing(
            payloads,
            Identity(plan.requests),
            statistics,
            settle=settle,
            submit=submit,
            withdraw=withdraw,
            start=start,
            nursery=nursery,
        )
        prepare = sharing.prepare
        settled, is_head = sharing.passing_on(settled), sharing.heading(is_head)
    if store:
        caching = Caching(
            plan,
            store,
            payloads,
            sharing,
            statistics,
            may_start=may_start,
            is_head=is_head,
            settle=settle,
            submit=submit,
            start=start,
            notify=notify,
            nursery=nursery,
        )
        prepare, outcome_of = caching.prepare, caching.keeping(outcome_of)
    return Reuse(prepare, outcome_of, settled, is_head, sharing)

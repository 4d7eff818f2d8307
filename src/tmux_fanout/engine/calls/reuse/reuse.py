"""What a caller does so that answers are used again: by `share`, by `cache`, by both or neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.requests.reuse.identity import Identity
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.callers.context import ApiContext, CallerLike
from tmux_fanout.engine.calls.outcomes.settler import OutcomeOf
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.reuse.caching import Caching, Prepare
from tmux_fanout.engine.calls.reuse.sharing import Settled, Sharing


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
    context: ApiContext,
    caller: CallerLike,
    settled: Settled,
) -> Reuse:
    """Return the steps of an API's calls.

    Args:
        plan: the API.
        payloads: builds its requests, and reads the answers.
        context: what its caller is given.
        caller: makes the calls that have to be made.
        settled: called with each call that has its outcome, and the bytes of that.
    """
    run, shared, store = context.run, context.shared, context.store
    if shared:  # `HostCallers` reuses answers, whatever their hosts
        return Reuse(payloads.prepare, shared.outcome_of, settled, run.is_head, None)
    sharing = None
    prepare: Prepare = payloads.prepare
    outcome_of: OutcomeOf = payloads.outcome_of
    is_head = run.is_head
    if plan.share:
        sharing = Sharing(
            payloads,
            Identity(plan.requests),
            context.statistics,
            settle=caller.settle,
            submit=caller.submit,
            withdraw=caller.withdraw,
            start=caller.start,
            nursery=run.nursery,
        )
        prepare = sharing.prepare
        settled, is_head = sharing.passing_on(settled), sharing.heading(is_head)
    if store:
        caching = Caching(
            plan,
            store,
            payloads,
            sharing,
            context.statistics,
            may_start=run.may_start,
            is_head=is_head,
            settle=caller.settle,
            submit=caller.submit,
            start=caller.start,
            notify=run.notify,
            nursery=run.nursery,
        )
        prepare, outcome_of = caching.prepare, caching.keeping(outcome_of)
    return Reuse(prepare, outcome_of, settled, is_head, sharing)

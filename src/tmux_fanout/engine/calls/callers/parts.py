"""The parts of a caller, each made of those before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.engine.calls.alarm import Alarm, AlarmLike
from tmux_fanout.engine.calls.batching import Batcher
from tmux_fanout.engine.calls.callers.context import ApiContext, CallerLike
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.hedging import Hedger
from tmux_fanout.engine.calls.lifecycle.listener import Listener
from tmux_fanout.engine.calls.outcomes.denials import Denials
from tmux_fanout.engine.calls.outcomes.outages import Outages
from tmux_fanout.engine.calls.outcomes.series import Sequencer, SeriesPayloads
from tmux_fanout.engine.calls.outcomes.settler import Settler
from tmux_fanout.engine.calls.outcomes.timings import Settled
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.queue import Queue
from tmux_fanout.engine.calls.reuse.reuse import Reuse
from tmux_fanout.engine.calls.sharing.slots import SharedSlots
from tmux_fanout.engine.calls.slots import Slots


class Parts:
    """What decides and acts on the way of one API's calls.

    Args:
        plan: the API.
        context: what the caller is given.
        payloads: builds the requests.
        reuse: turns answers into outcomes, and knows what the output waits for.
        caller: starts calls.
        settled: called with each call that has its outcome, and the bytes of that.
        lost: called when all endpoints have been down for longer than calls wait.

    Attributes:
        alarm: returns an alarm that calls a function.
        payloads, meter: as above.
        endpoints, queue, slots, batcher, hedger, settler, sequencer, denials, outages: the parts.
            An API without `batch`, `hedge`, `pages` or `poll` has None in their place.
    """

    def __init__(
        self,
        plan: ApiPlan,
        context: ApiContext,
        payloads: Payloads,
        reuse: Reuse,
        *,
        caller: CallerLike,
        settled: Settled,
        lost: Callable[[], None],
    ) -> None:
        run, statistics, shared = context.run, context.statistics, context.shared
        nursery, notify = run.nursery, run.notify
        self.payloads = payloads
        self.meter = meter = context.meter
        self.alarm: Callable[[Callable[[], None]], AlarmLike] = (
            shared.alarm if shared else partial(Alarm, nursery)
        )
        self.endpoints = Endpoints(plan, notify, Listener(plan.name, statistics, notify))
        self.queue = Queue(plan, self.endpoints, run.may_start, meter, context.others)
        make_slots = partial(SharedSlots, run.fence) if run.fence and not shared else Slots
        self.slots = make_slots(
            plan, run.total, nursery, start=caller.start, resume=caller.resume, notify=notify
        )
        self.batcher = Batcher(plan, self.queue) if plan.batch else None
        self.hedger = Hedger(plan, self.queue, nursery, caller.start) if plan.hedge else None
        self.settler = Settler(
            plan,
            reuse.outcome_of,
            self.batcher,
            self.hedger,
            statistics,
            settled=settled,
            kept=run.kept,
        )
        self.sequencer = self._sequencer(plan, context, context.start_peers or caller.start)
        self.denials = Denials(
            plan, self.endpoints, self.queue, self.settler, is_head=reuse.is_head
        )
        self.outages = Outages(
            plan,
            self.endpoints,
            self.queue,
            self.denials,
            self.settler,
            has_room=run.has_room,
            lost=lost,
        )

    def __repr__(self) -> str:
        return f"<Parts: {self.queue!r}, {self.slots!r}, {self.endpoints!r}>"

    def _sequencer(
        self,
        plan: ApiPlan,
        context: ApiContext,
        start: Callable[[], object],
    ) -> Sequencer | None:
        if not (plan.series and isinstance(self.payloads, SeriesPayloads)):
            return None
        return Sequencer(
            plan.series,
            self.payloads,
            self.settler,
            self.queue,
            meter=self.meter,
            statistics=context.statistics,
            notify=context.run.notify,
            nursery=context.run.nursery,
            start=start,
            kept=context.run.kept,
        )

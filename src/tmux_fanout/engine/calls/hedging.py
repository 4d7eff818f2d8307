"""Second attempts beside first ones that are slow.

A hedge is a call of its own that stands for another: it waits in the queue, in front, holds a slot,
and is bound by the rate, by pauses and by breakers like any other.  The first of the two to bring a
response that is not worth a retry settles the call, and the other is cancelled.  Where the first
attempt fails while its hedge is under way, the hedge is waited for before anything else is tried.

When an attempt is slow, and how many hedges there may be, is decided in `core.policy.hedging`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import trio

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.hedging import is_affordable, patience
from tmux_fanout.core.policy.retry import Repeatable, repeatable
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.alarm import AT_ONCE, Alarm
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.caller import Caller
from tmux_fanout.engine.calls.endpoints import Answer

if TYPE_CHECKING:
    from tmux_fanout.engine.calls.call import PendingRecord

_LOOKS_PER_DOUBLING = 16  # at how long calls take


class Hedge(Call):
    """A second attempt of a call.

    Attributes:
        original: the call.
        failed: what the attempt that it stands beside came to meanwhile, if that was no success.
        is_sent: whether it was.
    """

    def __init__(self, original: Call) -> None:
        super().__init__(original.row)
        self.original = original
        self.failed: Response | TransportError | None = None
        self.is_sent = False
        self.request = original.request
        self.is_queued = True
        self.started = original.started
        self.attempts = original.attempts
        self.endpoint = original.endpoint  # and so it goes to another, if there is one

    def __repr__(self) -> str:
        return f"<Hedge of {self.original!r}>"


class HedgingCaller(Caller):
    """Makes the calls of an API with `hedge`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        assert self.plan.hedge is not None
        self._hedge = self.plan.hedge
        self._head: PendingRecord | None = None
        self._unsent = 0  # hedges in the queue
        self._due: OrderedDict[Call, float] = OrderedDict()  # attempts under way
        self._due_alarm = Alarm(self._hedge_what_is_due)
        self._next_look = 0.0
        self._look_at_latency()

    def holds_up(self, call: Call) -> None:
        """The output waits for the record of this call."""
        self._head = call.row
        if call.is_under_way and call.attempts == 1:
            self._watch(call, call.started)

    def _depart(self, call: Call, now: float) -> None:
        if isinstance(call, Hedge):
            call.is_sent = True
            call.original.attempts += 1
            call.original.free += 1
            self._unsent -= 1
        elif self._hedge != "head" or call.row is self._head:
            self._watch(call, now)
        super()._depart(call, now)

    def _arrive(self, call: Call, answer: Answer) -> None:
        self._due.pop(call, None)
        super()._arrive(call, answer)

    def _release(self, call: Call, answer: Answer) -> Answer:
        answer = super()._release(call, answer)
        if isinstance(call, Hedge) and not call.is_sent:
            self._take_back()  # it was dropped before its task began
        return answer

    def _take_back(self) -> None:
        """A hedge was not made after all."""
        self._statistics.hedges -= 1
        self._unsent -= 1

    def _watch(self, call: Call, began: float) -> None:
        """See to an attempt that begins, or began, at this time."""
        if self._statistics.calls >= self._next_look:
            self._look_at_latency()
        if self._patience < math.inf:
            self._due[call] = began + self._patience
            self._set_alarm()

    def _look_at_latency(self) -> None:
        """Find out anew after how long an attempt is slow; often at first, then rarely."""
        latency = self._statistics.latency
        self._patience = patience(self._hedge, latency)
        self._next_look = self._statistics.calls * (1 + 1 / _LOOKS_PER_DOUBLING) + 1

    def _hedge_what_is_due(self) -> None:
        now = trio.current_time()
        while self._due and self._next_due() <= now + AT_ONCE:
            call, _ = self._due.popitem(last=False)
            if call.is_under_way and call.hedge is None:
                self._try_to_hedge(call)
        if self._due:
            self._set_alarm()
        self.start()

    def _next_due(self) -> float:
        return next(iter(self._due.values()))

    def _set_alarm(self) -> None:
        self._due_alarm.set(self._nursery, self._next_due())

    def _try_to_hedge(self, call: Call) -> None:
        statistics = self._statistics
        firsts = statistics.attempts - (statistics.hedges - self._unsent)
        if is_affordable(statistics.hedges, firsts):
            statistics.hedges += 1
            self._unsent += 1
            call.hedge = Hedge(call)
            self._queue.add_again(call.hedge)

    def _conclude(self, call: Call, answer: Response | TransportError) -> None:
        is_final = self._is_final(answer)
        if isinstance(call, Hedge):
            self._conclude_hedge(call, answer, is_final=is_final)
        elif isinstance(call.hedge, Hedge) and call.hedge.is_under_way and not is_final:
            call.hedge.failed = call.trouble = answer  # and wait for the hedge
        else:
            self._drop_hedge(call)
            super()._conclude(call, answer)

    def _is_final(self, answer: Response | TransportError) -> bool:
        """Whether an answer settles a call, whatever the other attempt may bring."""
        if isinstance(answer, TransportError):
            return False
        return self.plan.responses.is_ok(answer) or repeatable(answer) is Repeatable.NEVER

    def _conclude_hedge(
        self, hedge: Hedge, answer: Response | TransportError, *, is_final: bool
    ) -> None:
        call = hedge.original
        if call.hedge is hedge:
            call.hedge = None
        call.ended = hedge.ended
        if is_final and call.outcome is None:
            self._stop(call)
            super()._conclude(call, answer)
        elif hedge.failed is not None:
            super()._conclude(call, hedge.failed)

    def _settle(self, call: Call, outcome: Outcome) -> None:
        super()._settle(call, outcome)
        self._drop_hedge(call)

    def _drop_hedge(self, call: Call) -> None:
        if call.hedge:
            if self._queue.remove(call.hedge):
                self._take_back()
            self._stop(call.hedge)
            call.hedge = None

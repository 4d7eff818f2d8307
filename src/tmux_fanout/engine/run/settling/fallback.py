"""Leaving calls that are not ok to other APIs (`fallback_of`).

    call of a  -- not ok -->  stand-in at b  -- not ok -->  stand-in at c  -->  outcome of a

A record has one call for each outcome.  Where that call is not ok in a way that the fallback is
there for, the record gets a call of the fallback in its place, and the outcome of the last of them
is the outcome.  To everyone else (joining, chaining, the window) the call has been open meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.results.fallback import Fallback, combine
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.hosts.callers import AnyCaller


class StandIn(Call):
    """A call of a fallback, in the place of a call that is not ok.

    Args:
        pending: the record.
        caller: makes the call.
        failed_name: name of the API that was not ok before.
        failed: the outcome before.
        held: bytes of that outcome, counted in the window.
        began: when the first attempt of all was started, or None if there was none.
    """

    __slots__ = ("began", "caller", "failed", "failed_name", "held")

    def __init__(
        self,
        pending: PendingRecord,
        caller: AnyCaller,
        *,
        failed_name: str,
        failed: Outcome,
        held: int,
        began: float | None,
    ) -> None:
        super().__init__(pending)
        self.caller = caller
        self.failed_name = failed_name
        self.failed = failed
        self.held = held
        self.began = began


def caller_of(call: Call, caller: AnyCaller) -> AnyCaller:
    """Return what makes a call that is open: `caller`, or that of the fallback."""
    return call.caller if isinstance(call, StandIn) else caller


class Relay:
    """Takes the settled calls of one API, which has a fallback or is one.

    Args:
        plan: the API.
        position: of the outcome among those of a record.
        callers: of all APIs, in the order of the plan; complete once calls are made.
        nursery: runs the tasks that start calls.
        settled: called with each call that has the final outcome, and the bytes of that.
        kept: called with the change in the bytes of outcomes that are kept while another API is
            called.
    """

    def __init__(
        self,
        plan: ApiPlan,
        position: int,
        callers: Sequence[AnyCaller],
        nursery: trio.Nursery,
        *,
        settled: Callable[[Call, int], None],
        kept: Callable[[int], None],
    ) -> None:
        self._name = plan.name
        self._fallback = plan.fallback
        self._position = position
        self._callers = callers
        self._nursery = nursery
        self._settled = settled
        self._kept = kept
        self._is_starting = False

    def __repr__(self) -> str:
        return f"<Relay: {self._name}, then {self._fallback.name if self._fallback else 'nothing'}>"

    def settled(self, call: Call, size: int) -> None:
        """Leave a call to the fallback, or pass on its outcome.

        Args:
            call: the call, which has its outcome.
            size: bytes of the outcome.
        """
        assert call.outcome is not None
        own = outcome = call.outcome
        if isinstance(call, StandIn):
            self._kept(-call.held)
            if own.skipped:  # by `when`: as if this fallback were not configured
                own = outcome = call.failed
                size = call.held
            else:
                outcome = self._combined(call, own)
        fallback = self._fallback
        if fallback is not None and fallback.on.include(own):
            if fallback.is_allowed(own):
                self._hand_on(call, fallback, outcome, size)
                return
            outcome = fallback.refused(outcome)
        call.outcome = outcome
        self._settled(call, size)

    def _combined(self, call: StandIn, own: Outcome) -> Outcome:
        seconds = own.seconds if call.began is None else trio.current_time() - call.began
        return combine(self._name, own, call.failed_name, call.failed, seconds)

    def _hand_on(self, call: Call, fallback: Fallback, outcome: Outcome, size: int) -> None:
        """Replace a call, whose outcome so far has `size` bytes, by one of the fallback."""
        began = call.started if call.attempts else None
        failed_name = self._name
        if isinstance(call, StandIn):
            began = began if call.began is None else call.began
            failed_name = call.failed_name if outcome is call.failed else failed_name
        caller = self._callers[fallback.index]
        stand_in = StandIn(
            call.pending,
            caller,
            failed_name=failed_name,
            failed=outcome,
            held=size,
            began=began,
        )
        calls = call.pending.calls
        assert isinstance(calls, list)  # they are open
        calls[self._position] = stand_in
        self._kept(size)
        caller.submit(stand_in, trio.current_time())
        if not self._is_starting:
            self._is_starting = True
            self._nursery.start_soon(self._start, caller)

    async def _start(self, caller: AnyCaller) -> None:
        """Start the calls that were handed on at the same time, together if they are batched."""
        self._is_starting = False
        caller.start()

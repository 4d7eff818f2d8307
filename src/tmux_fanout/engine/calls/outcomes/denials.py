"""Calls that an API has denied, such as for a key that has expired or a bill that is unpaid.

Nobody knows yet whether that is about the one request or about all of them, so the results of such
calls are held.  As soon as others are served, they stand.  If none is, the endpoint is left alone
as if it were down, and the calls wait for it with all others.

If the others wait for room in the window, which only the result of the head of the line can make,
they would tell nothing before that.  One after another goes all the same then: a denial is small,
and the first to be served makes room.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import DENIED
from tmux_fanout.core.policy.retry import final_error
from tmux_fanout.engine.calls.call import Attempt, Call
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.outcomes.settler import Settler
from tmux_fanout.engine.calls.queue import Queue


class Denials:
    """Hold the results of denied calls until it is clear whether all calls are denied.

    Args:
        plan: the API.
        endpoints: know whether they deny all.
        queue: takes the calls that wait for an endpoint after all.
        settler: settles the others.
        is_head: returns whether the output waits for a call.

    Attributes:
        held: the calls; always the same list.
    """

    def __init__(
        self,
        plan: ApiPlan,
        endpoints: Endpoints,
        queue: Queue,
        settler: Settler,
        *,
        is_head: Callable[[Call], bool],
    ) -> None:
        self.held: list[Call] = []
        self._policy = plan.retry
        self._endpoints = endpoints
        self._queue = queue
        self._settler = settler
        self._is_head = is_head

    def __repr__(self) -> str:
        return f"<Denials: {len(self.held)} calls held>"

    def hold(self, attempt: Attempt, answer: Response) -> None:
        """Hold the result of an attempt that was denied, or try another endpoint first."""
        call = attempt.call
        if answer.status not in DENIED:
            self._endpoints.deny(attempt, trio.current_time())
        call.last_answer = answer
        self._settler.keep(call, len(answer.body))
        if self._policy.retries and call.attempts < len(self._endpoints.in_flight):
            self._queue.add_again(call)
        else:
            self.held.append(call)

    def review(self) -> None:
        """Settle the calls, or queue them again as their endpoint is now left alone.

        They go on being held if other calls wait or are under way, so that more will be known.
        """
        if self._endpoints.are_suspicious and (self._are_others_under_way or self._queue.calls):
            self.urge_others()
            return
        calls = self.held.copy()
        self.held.clear()
        has_denier = self._endpoints.has_denier()
        for call in calls:
            if call.outcome is None and call.last_answer is not None:
                if has_denier and self._policy.retries:
                    self._queue.add_again(call)
                elif self._endpoints.are_down:
                    self.held.append(call)  # it must not be sent again
                else:
                    self._settle(call, call.last_answer)

    def urge_others(self) -> None:
        """Let another call go if it waits for room that only a call which is held can make."""
        if self.keep_others_out:
            self._queue.is_urged = True

    @property
    def keep_others_out(self) -> bool:
        """Whether the head of the line is held, and all others wait for it to make room."""
        if not self.held or self._are_others_under_way or not self._queue.is_kept_out:
            return False
        return any(map(self._is_head, self.held))

    @property
    def _are_others_under_way(self) -> bool:
        return any(self._endpoints.in_flight)

    def _settle(self, call: Call, answer: Response | TransportError) -> None:
        self._settler.settle_with(call, answer, final_error(self._policy, answer, call.tries))

    def remove(self, call: Call) -> None:
        """Hold a call no longer, if it is held."""
        if call in self.held:
            self.held.remove(call)

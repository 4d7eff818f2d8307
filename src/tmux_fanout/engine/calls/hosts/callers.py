"""The calls of an API whose hosts come from its records.

Each host is like an API of its own: it has a `Caller`, with a queue, a limit, a rate, pauses, a
breaker and evidence on refusals.  So a host that is slow or down holds up its own calls, and others
only once the window is full.  What the API has as a whole is shared: its limit and rate
(`ApiLimit`, which hands slots to the hosts in turns), the payloads, the alarms and the statistics.

    submit -> request built -> Host.caller -> its slots -> ApiLimit -> total limit

A redirect makes the call one of the host that it leads to: the next request is an attempt there.

A host is made with its first call.  Those that have none are forgotten, the longest unused first,
except for some that would be called too early if nobody knew of their pauses and rates any more.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import cast

import trio
from msgspec.structs import replace

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorKind, TransportError
from tmux_fanout.core.hosts.redirects import leave
from tmux_fanout.core.http.messages import Origin, Request, Response
from tmux_fanout.core.http.redirects import REDIRECTS, Followed, follow
from tmux_fanout.core.report.load import EndpointLoad, Load
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.tuning.tuning import ApiTuning
from tmux_fanout.engine.calls.call import Answer, Attempt, Call
from tmux_fanout.engine.calls.caller import Caller
from tmux_fanout.engine.calls.callers.context import ApiContext
from tmux_fanout.engine.calls.callers.monitor import CallerStatistics
from tmux_fanout.engine.calls.endpoints import Endpoints
from tmux_fanout.engine.calls.hosts.alarms import Timers
from tmux_fanout.engine.calls.hosts.host import Host, plan_host
from tmux_fanout.engine.calls.hosts.limit import ApiLimit
from tmux_fanout.engine.calls.hosts.payloads import HostPayloads
from tmux_fanout.engine.calls.outcomes.settler import Settler
from tmux_fanout.engine.calls.outcomes.timings import Ended, Settled, attaching_timings
from tmux_fanout.engine.calls.reuse.reuse import plan_reuse
from tmux_fanout.engine.calls.sharing.others import NoOthers
from tmux_fanout.transports.base import TasklessTransport

MAX_IDLE = 256  # hosts without calls that are remembered
MAX_HELD = 2048  # the same, those included that may not be called now
COLLECT_AFTER = 10_000  # forgotten hosts, which are reference cycles, to be freed together
MAX_NEWS = 40  # lines on the condition of hosts
_MAX_SHOWN = 20  # hosts in a report


class HostCallers:
    """Make the calls of one API, each at the host that its record names.

    Args:
        plan: the API, which has `hosts`.
        context, settled: as for `Caller`.  Of `meter` only the rate is used.

    Attributes:
        plan: the API.
        endpoints: those of the API; none of them is called, as hosts have their own.
        sharing: as for `Caller`.
    """

    def __init__(
        self,
        plan: ApiPlan,
        context: ApiContext,
        *,
        settled: Settled,
    ) -> None:
        assert plan.hosts is not None  # only made for such an API
        run, transport, statistics = context.run, context.transport, context.statistics
        self.plan = plan
        self.endpoints = Endpoints(plan, run.notify)
        self._payloads = HostPayloads(plan, statistics)
        reuse = plan_reuse(plan, self._payloads, context, self, settled)
        self._prepare, self._outcome_of, settled, is_head, self.sharing = reuse
        self._leave = partial(leave, plan.hosts.rules)
        self._statistics = statistics
        self._is_closed = False
        self._is_paused = False
        self._idle = run.idle
        self._may_start = run.may_start
        self._settled = run.spans.of_calls(plan.name, settled) if run.spans else settled
        self._notify = run.notify
        self._news = 0
        self._timers = Timers(run.nursery)
        self._limit = ApiLimit(
            plan.limit,
            run.total,
            pacer=context.meter.pacer if context.meter else None,
            fence=run.fence,
            timers=self._timers,
            resume=self.resume,
        )
        self._settler = Settler(
            plan,
            self._outcome_of,
            None,
            None,
            statistics,
            settled=attaching_timings(settled, run.starts) if run.timings else settled,
            kept=run.kept,
        )
        self._hosts: dict[Origin, Host] = {}
        self._unused: OrderedDict[Origin, Host] = OrderedDict()  # the longest unused first
        self._forgotten = 0
        self._due: dict[Host, None] = {}  # those that may have calls to begin
        self._kept_out: dict[Host, None] = {}  # those whose calls wait for room in the window
        self._open_calls = 0
        self._host_context = self._context_of_hosts(context, is_head)
        statistics.limit = plan.limit
        if isinstance(transport, TasklessTransport):
            run.nursery.start_soon(transport.attend, self.resume)

    def __repr__(self) -> str:
        return f"<HostCallers {self.plan.name}: {len(self._hosts)} hosts, {self._limit!r}>"

    def _context_of_hosts(self, context: ApiContext, is_head: Callable[[Call], bool]) -> ApiContext:
        """Return what the callers of hosts are given, but for what each shares with the others."""
        run = context.run._replace(
            total=self._limit,
            may_start=self._may_start_at_host,
            is_head=is_head,
            idle=self._note_idle,
            notify=self._tell,
        )
        return context._replace(
            run=run, meter=None, start_peers=None, others=NoOthers(), store=None
        )

    @property
    def limiter(self) -> trio.CapacityLimiter:
        """The limiter of the API; each attempt under way holds one of its tokens."""
        return self._limit.limiter

    @property
    def waiting(self) -> int:
        """The number of hosts whose calls lack only a slot; one that is busy itself has none."""
        return self._limit.waiting

    @property
    def in_flight(self) -> int:
        """The number of attempts under way."""
        return self.limiter.borrowed_tokens

    @property
    def hosts(self) -> int:
        """The number of hosts that are known."""
        return len(self._hosts)

    @property
    def has_calls(self) -> bool:
        """Whether calls wait, back off or are under way."""
        return self._open_calls > 0

    @property
    def have_all_begun(self) -> bool:
        """Whether no call is left here that has not been tried; hosts know of their own."""
        return not self._open_calls

    @property
    def is_held(self) -> bool:
        """Whether the API holds calls back as a whole: never, as its hosts do."""
        return False

    @property
    def is_down(self) -> bool:
        """Whether the API is down as a whole: never, as its hosts are."""
        return False

    def submit(self, call: Call, now: float) -> None:
        """Queue a call at its host, for `start` to begin; otherwise as `Caller.submit`."""
        prepared: Request | Outcome | None
        try:
            prepared = self._prepare(call)
        except Exception as exc:
            prepared = Outcome(False, error=internal_error(exc))
        if isinstance(prepared, Request):
            call.hops = 0
            call.was_answered = False
            self._open_calls += 1
            self._queue(call, prepared, now)
        elif prepared is not None:
            self._settler.settle(call, prepared)

    def settle(self, call: Call, outcome: Outcome) -> None:
        """Give a call that makes no request its outcome."""
        self._settler.settle(call, outcome)

    def withdraw(self, call: Call) -> bool:
        """Take a call out of the queue of its host; see `Caller.withdraw`."""
        if not call.is_queued:
            return False  # it waits for the cache
        host = host_of(call)
        if not host.caller.withdraw(call):
            return False
        self._open_calls -= 1
        self._leave_host(host)
        return True

    def _queue(self, call: Call, request: Request, now: float) -> None:
        host = self._host_at(request.head.origin)
        host.open_calls += 1
        self._unused.pop(host.origin, None)
        call.host = host
        self._due[host] = None
        host.caller.take_over(call, request, now)

    def _host_at(self, origin: Origin) -> Host:
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = Host(
                origin,
                self._payloads,
                outcome_of=self._outcome_of,
                timers=self._timers,
                resume=self.resume,
                ended=self._ended,
            )
            host.caller = Caller(
                plan_host(self.plan, origin),
                self._host_context._replace(shared=host),
                settled=partial(self._settled_at_host, host),
                lost=Caller.fail_waiting,
            )
            self._statistics.limit = self._limit.limit  # which the caller has set to its own
            if self._is_closed:
                host.caller.close()
        return host

    def _may_start_at_host(self, call: Call) -> bool:
        if self._may_start(call):
            return True
        self._kept_out[host_of(call)] = None
        return False

    def _settled_at_host(self, host: Host, call: Call, size: int) -> None:
        if call.outcome is not None:
            self._statistics.hosts.add(host.origin, call.outcome)
        self._open_calls -= 1
        self._leave_host(host)
        self._settled(call, size)

    def _leave_host(self, host: Host) -> None:
        """Record that a host has a call less; forget hosts that are not used."""
        host.open_calls -= 1
        if not host.open_calls:
            self._unused[host.origin] = host
            if len(self._unused) > MAX_IDLE:
                self._forget_one()

    def _forget_one(self) -> None:
        """Forget the host that was not used for longest, unless it has to be remembered."""
        origin, host = self._unused.popitem(last=False)
        is_held = len(self._unused) < MAX_HELD and host.is_held(trio.current_time())
        if is_held or host.is_busy():
            self._unused[origin] = host
        else:
            host.forget()
            del self._hosts[origin]
            self._due.pop(host, None)
            self._kept_out.pop(host, None)
            self._forgotten += 1
            if self._forgotten % COLLECT_AFTER == 0:
                gc.collect()

    def start(self) -> None:
        """Begin as many attempts as there are free slots and calls that may go."""
        if self._is_closed:
            self._note_idle()
            return
        if self._kept_out:
            self._due |= self._kept_out
            self._kept_out.clear()
        while self._due:
            due, self._due = self._due, {}
            for host in due:
                host.caller.resume()
        self._limit.take_turns()
        if self._limit.is_held_by_rate:  # which hosts cannot tell from a lack of slots
            self._statistics.held.note("rate", trio.current_time())

    def resume(self) -> None:
        """Begin attempts on slots that became free; other APIs that share them come first."""
        self._limit.pass_on()
        self.start()

    def _note_idle(self) -> None:
        if not self.in_flight:
            self._idle()

    def _ended(
        self,
        host: Host,
        attempt: Attempt,
        answer: Answer,
        conclude: Ended,
    ) -> None:
        """Conclude an attempt, or go on where its response leads."""
        self._due[host] = None
        call = attempt.call
        if call.outcome is None:
            if isinstance(answer, Response) and answer.status in REDIRECTS and self.plan.redirects:
                step = self._step(attempt, answer)
                if isinstance(step, Followed):
                    self._move(host, call, step)
                    return
                answer = replace(answer, note=step)
            if call.was_answered:
                answer = _as_answered(answer)
        conclude(attempt, answer)

    def _step(self, attempt: Attempt, response: Response) -> Followed | str:
        """Return the request that a redirect asks for, or why it is not followed."""
        assert attempt.request is not None  # it was answered
        if attempt.call.hops >= self.plan.redirects:
            return f"the limit redirects = {self.plan.redirects} is reached"
        return follow(attempt.request, response, self._leave)

    def _move(self, host: Host, call: Call, step: Followed) -> None:
        """Have a call go on at the host that a redirect leads to."""
        call.hops += 1
        call.was_answered |= step.answered
        call.needs_fresh = False
        call.setback, call.refusals = None, 0  # what the host before had refused
        self._queue(call, step.request, trio.current_time())
        self._leave_host(host)

    def _tell(self, line: str) -> None:
        """Tell the user about a host, unless that was told of many."""
        self._news += 1
        if self._news < MAX_NEWS:
            self._notify(line)
        elif self._news == MAX_NEWS:
            self._notify(f"{self.plan.name}: more hosts are not well; no further lines on them")

    def cut_short(self, call: Call, kind: ErrorKind, why: str) -> None:
        """Settle a call that was stopped or kept from starting; see `Settler.cut_short`."""
        if call.is_queued:
            host_of(call).caller.cut_short(call, kind, why)
        else:
            self._settler.cut_short(call, kind, why)

    def lose(self, call: Call, why: str) -> None:
        """Settle a call that is no longer needed, and stop its attempts; see `Caller.lose`."""
        if call.is_queued:
            host_of(call).caller.lose(call, why)
        else:
            self._settler.cut_short(call, "lost", why)

    def holds_up(self, call: Call) -> None:
        """Do nothing: calls to hosts are not hedged."""

    def change_limit(self, limit: int) -> None:
        """Change the number of slots over all hosts."""
        self._limit.change(limit)
        self._statistics.limit = self._limit.limit

    def tune(self, tuning: ApiTuning) -> None:
        """Use a part of the slots, and pause or resume; `start` has to follow."""
        self._limit.tune(tuning.limit)
        self._statistics.limit = self._limit.limit
        self._limit.is_paused = tuning.paused

    def hear(self, condition: Condition) -> None:
        """Do nothing: other processes tell nothing of hosts."""

    def statistics(self) -> CallerStatistics:
        """Return what the callers hold now."""
        each = [host.caller.statistics() for host in self._hosts.values()]
        return CallerStatistics(
            waiting=sum(statistics.waiting for statistics in each),
            in_flight=sum(statistics.in_flight for statistics in each),
            slots=self.limiter.borrowed_tokens,
            total_slots=each[0].total_slots if each else 0,
            endpoints=[sum(statistics.endpoints) for statistics in each],
            watched=0,
            hedges_waiting=0,
        )

    def load(self, now: float) -> Load:
        """Return what waits, and the hosts that are not well or have most under way."""
        used = [host.load(now) for host in self._used()]
        used.sort(key=_urgency, reverse=True)
        return Load(max(0, self._open_calls - self.in_flight), used[:_MAX_SHOWN])

    def _used(self) -> Sequence[Host]:
        return [host for host in self._hosts.values() if host.open_calls]

    def describe_wait(self, now: float) -> Wait | None:
        """Return for the live display what calls wait for while none is under way; or None."""
        if self._limit.is_paused and self._open_calls:
            return Wait("paused", "--live")
        if self.in_flight:
            return None
        waits = (host.caller.describe_wait(now) for host in islice(self._used(), _MAX_SHOWN))
        return next(filter(None, waits), None)

    def close(self) -> None:
        """Begin no more attempts."""
        self._is_closed = True
        for host in self._hosts.values():
            host.caller.close()

    def abandon(self) -> None:
        """Cancel what is left under way after the end of the nursery."""
        for host in self._hosts.values():
            host.caller.abandon()


AnyCaller = Caller | HostCallers
"""What makes the calls of an API."""


def host_of(call: Call) -> Host:
    """Return the host of a call that is queued at one."""
    return cast(Host, call.host)


def _urgency(load: EndpointLoad) -> tuple[bool, int]:
    return load.condition != "ready", load.in_flight


def _as_answered(answer: Answer) -> Answer:
    """Return the result of a request to which a redirect led from one that was processed."""
    if isinstance(answer, Response):
        return replace(answer, answered=True)
    if isinstance(answer, TransportError):
        answer.sent, answer.stale, answer.shortage = True, False, ""
    return answer

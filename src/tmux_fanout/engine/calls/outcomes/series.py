"""Calls that make several requests in a row: for the pages of a list, or the polls of a job.

Each of these requests is made as the first one was, with a slot, a rate, retries and a time limit
of its own.  In between the call waits like one that is retried, without a slot.  What follows an
answer is decided in `core.requests.series`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.http.rate_headers import retry_after
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.report.waits import NOTEWORTHY, Wait
from tmux_fanout.core.requests.compression.gzip import is_compressed, plain
from tmux_fanout.core.requests.series.pages import PagesPlan
from tmux_fanout.core.requests.series.steps import Next, Series, SeriesPlan
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.spending.meter import Meter
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.outcomes.settler import Settler
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.queue import Queue
from tmux_fanout.engine.wall import wall_clock


class SeriesPayloads(Payloads):
    """What calls send and receive where they make several requests in a row."""

    def drop_if_large(self, call: Call) -> int:
        if call.series is None:
            return super().drop_if_large(call)
        return 0  # the request does not come from the record alone

    def begin(self, plan: SeriesPlan, call: Call) -> Series:
        """Return the series of a call whose first request was answered."""
        results = self.results_of(call)
        assert not isinstance(results, ErrorInfo)  # as when the call was submitted
        request = self.request_of(call)
        if is_compressed(request):
            request = plain(request)
        return plan.begin(request, call.pending.record, results)

    def outcome_of(
        self, call: Call, answer: Response | TransportError | None, error: ErrorInfo | None
    ) -> Outcome:
        if error is not None and (series := call.series) is not None:
            error = series.describe(error)
        return super().outcome_of(call, answer, error)


class Sequencer:
    """Lead the calls of one API from each ok answer to the next request, or to their outcome.

    Args:
        plan: what follows the first request.
        payloads: builds the first request.
        settler: settles the calls that are done.
        queue: takes the others.
        meter: counts what they spend, or None.
        statistics: record whether any page leads to another.
        notify: called with one line for the user if a setting is shown to be wrong.
        nursery: runs the tasks of the calls that wait.
        start: starts what may go from the queue.
        kept: called with the change in the bytes that series keep.
    """

    def __init__(
        self,
        plan: SeriesPlan,
        payloads: SeriesPayloads,
        settler: Settler,
        queue: Queue,
        *,
        meter: Meter | None,
        statistics: ApiStatistics,
        notify: Callable[[str], None],
        nursery: trio.Nursery,
        start: Callable[[], object],
        kept: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._payloads = payloads
        self._settler = settler
        self._queue = queue
        self._meter = meter
        self._statistics = statistics
        self._notify = notify
        self._clock = wall_clock()
        self._due: dict[Call, float] = {}  # when each call that waits makes its next request
        self._nursery = nursery
        self._start = start
        self._kept = kept

    def __repr__(self) -> str:
        return f"<Sequencer: {self._plan.summary}>"

    def served(self, call: Call, answer: Response, _: None = None) -> None:
        """Settle a call that got an ok answer, or prepare its next request."""
        step: Next | Response | ErrorInfo
        try:
            series = call.series
            if series is None:
                series = call.series = self._payloads.begin(self._plan, call)
                self._kept(series.size)
            step = self._follow(series, answer)
            if series.remark:
                line = f"{self._statistics.name}: {series.remark}"
                self._statistics.tell_once("series", line, self._notify)
            if isinstance(self._plan, PagesPlan) and not self._statistics.has_next:
                self._look_for_next(self._plan, answer, step)
            if isinstance(step, Next):
                self._go_on(call, series, answer, step)
                return
        except Exception as exc:
            step = internal_error(exc)
        if isinstance(step, ErrorInfo):
            self._settler.settle_with(call, answer, step)
        else:
            self._settler.settle_with(call, step, None)

    def _follow(self, series: Series, answer: Response) -> Next | Response | ErrorInfo:
        size = series.size
        try:
            asked = retry_after(answer, self._clock()) or 0.0
            return series.follow(answer, trio.current_time(), asked)
        finally:
            self._kept(series.size - size)

    def _look_for_next(
        self, plan: PagesPlan, answer: Response, step: Next | Response | ErrorInfo
    ) -> None:
        """Record whether a page leads to another, or could; or else why it does not."""
        if isinstance(step, Next):
            self._statistics.has_next = True
        elif isinstance(step, Response):
            missing = plan.place_missing_in(answer)
            self._statistics.has_next = missing is None
            self._statistics.no_next = missing or ""

    def describe_wait(self, now: float) -> Wait | None:
        """Return for the live display how long the calls wait; None if not for long."""
        seconds = min(self._due.values(), default=now) - now
        if seconds < NOTEWORTHY:
            return None
        return Wait("poll", seconds=seconds, calls=len(self._due))

    def _go_on(self, call: Call, series: Series, answer: Response, step: Next) -> None:
        """Have the next request of a call made, which has its own time and retries."""
        series.before, series.answer = call.attempts, answer
        call.request = step.request
        call.failures = call.refusals = 0
        call.setback, call.needs_fresh = None, False
        call.used = call.asked_pause = 0.0
        call.last_answer = answer
        self._settler.keep(call, len(answer.body))
        if self._meter and self._meter.is_counting:
            self._meter.go_on(call, is_free=series.is_paid)
        if step.delay:
            self._nursery.start_soon(self._pause, call, step.delay)
        else:
            self._queue.add_again(call)  # before any record that has not begun

    async def _pause(self, call: Call, delay: float) -> None:
        self._due[call] = trio.current_time() + delay
        try:
            await self._queue.pause(call, delay)
        finally:
            del self._due[call]
        self._start()  # even if it was lost, as the run may only wait for its end


def releasing(
    settled: Callable[[Call, int], None], kept: Callable[[int], None]
) -> Callable[[Call, int], None]:
    """Return a function that gives back the bytes that a series keeps, and calls `settled`."""

    def release(call: Call, size: int) -> None:
        series = call.series
        if series is not None:
            kept(-series.size)
            call.series = None
        settled(call, size)

    return release

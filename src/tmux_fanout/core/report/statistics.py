"""The statistics of a run.  Their size is fixed, however long the run is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Literal

from tmux_fanout.core.errors import ErrorKind, Failure
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.report.blocked_time import BlockedTime
from tmux_fanout.core.report.failures import FailureCounts
from tmux_fanout.core.report.hosts import HostCounts
from tmux_fanout.core.requests.lifecycle.deprecation import Deprecation
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import Kept
from tmux_fanout.core.spending.prices import Price, money
from tmux_fanout.core.spending.spending import Spending

HeldBy = Literal["limit", "rate", "cost", "throttled", "paused", "breaker", "window"]
OutputHeldBy = Literal["head_of_line", "reader"]

PHASES = ("backing_off", "connecting", "queueing", "reading", "waiting")


class TimeSpent:
    """Seconds that calls and their attempts spent in each of `PHASES`, added up over all of them.

    Attributes:
        queueing: calls, from admission to the first attempt.
        connecting: attempts, until they had a connection.
        waiting: attempts, from then to the first byte of the response.
        reading: attempts, from then to the last byte; 0 if the response arrived whole.
        backing_off: calls, between attempts.
    """

    __slots__ = PHASES

    def __init__(self) -> None:
        self.queueing = 0.0
        self.connecting = 0.0
        self.waiting = 0.0
        self.reading = 0.0
        self.backing_off = 0.0

    def attempt(
        self, began: float, connected_at: float, first_byte_at: float, ended: float, *, sent: bool
    ) -> None:
        """Add an attempt that has ended.

        Args:
            began: when it began, in seconds.
            connected_at: when it had made a connection; 0 if it made none.
            first_byte_at: when its response began; 0 if that arrived whole, or not at all.
            ended: when it ended.
            sent: whether it had sent anything.
        """
        if not sent:
            self.connecting += ended - began
            return
        if connected_at:
            self.connecting += connected_at - began
            began = connected_at
        if first_byte_at:
            self.reading += ended - first_byte_at
            ended = first_byte_at
        self.waiting += ended - began


class ApiStatistics:
    """The statistics of one API.

    They are written for reports only: no decision of the engine reads them.

    Args:
        name: name of the API.
        price: of its units and calls, or None.

    Attributes:
        name: name of the API.
        price: of its units and calls, or None.
        calls: number of calls settled.
        skipped: number of those that were not made, by `when` or as an API before is not ok.
        ruled_out: number of those that were not made by `when`.
        shared: number of calls that share the answer to another one's request.
        cached: number of calls whose answer was kept on disk.
        has_found: whether `select` has found anything in a response.
        nothing_in: the beginning of a response in which it has found nothing.
        has_next: whether a page has named the next one, or had a place for it.
        no_next: why no page has, as a sentence.
        fields_seen: fields of URL and headers that a record had a value for.
        attempts: number of requests begun.
        hedges: number of those that were made because another one was slow.
        in_flight: number of attempts under way now.
        limit: maximum number of attempts under way now.
        held: seconds that the first waiting call was delayed, by cause.
        spent: seconds that calls and attempts spent in each phase.
        latency: seconds of each call, from its first attempt to its outcome.
        bytes_sent: bytes of request bodies.
        bytes_received: bytes of whole responses.
        failures: the calls that are not ok, counted, with a sample of each kind.
        hosts: the calls by host, where hosts come from records.
        deprecation: what the API says of its own end, or None.
        told: what the user was told of the API once, by what it is about.
        spending: units and calls that were paid for, by what came of them; only counted where the
            API has `cost`, `spent` or `price`.
    """

    def __init__(self, name: str, price: Price | None = None) -> None:
        self.name = name
        self.price = price
        self.reset()

    def __repr__(self) -> str:
        counts = f"{self.calls} calls, {self.attempts} attempts, {self.in_flight} in flight"
        return f"<ApiStatistics {self.name}: {counts}>"

    def reset(self) -> None:
        """Set all counts to zero."""
        self.calls = 0
        self.skipped = 0
        self.ruled_out = 0
        self.shared = 0
        self.cached = 0
        self.has_found = False
        self.nothing_in = b""
        self.has_next = False
        self.no_next = ""
        self.fields_seen: set[str] = set()
        self.attempts = 0
        self.hedges = 0
        self.in_flight = 0
        self.limit = 0
        self.held = BlockedTime[HeldBy]()
        self.spent = TimeSpent()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.failures = FailureCounts()
        self.hosts = HostCounts()
        self.deprecation: Deprecation | None = None
        self.told: dict[str, str] = {}
        self.latency = Histogram()
        self.spending = Spending()

    @property
    def errors(self) -> Counter[ErrorKind]:
        """The number of calls that are not ok, by the kind of error."""
        return self.failures.by_kind()

    @property
    def cost(self) -> Decimal:
        """The money that its calls cost; 0 if it has no price."""
        return money(self.spending.cost(self.price)) if self.price else Decimal(0)

    def tell_once(self, about: str, line: str, notify: Callable[[str], None]) -> None:
        """Tell the user something about the API, unless that was done."""
        if about not in self.told:
            self.told[about] = line
            notify(line)

    def settled(self, outcome: Outcome) -> None:
        """Count a call that has its outcome; call `failed`, too, if that is not ok."""
        self.calls += 1
        if outcome.attempts:
            self.latency.add(outcome.seconds)
        elif outcome.skipped:
            self.skipped += 1
            self.ruled_out += outcome.ok

    def failed(self, outcome: Outcome, index: int) -> None:
        """Count why a call is not ok.

        Args:
            outcome: of the call.
            index: of the record.
        """
        if outcome.error:
            self.failures.add(outcome.error, outcome.status, index, outcome.content)


class RunStatistics:
    """The statistics of a run.

    Args:
        names: names of the APIs.
        prices: of the APIs, if any of them has one.

    Attributes:
        apis: the statistics of each API.
        read: number of records read; each of them is written once.
        written: number of lines written.
        ok: number of records written that are ok.
        errors: number of the others, by the kind of their first error.
        failures: number of times that they failed in each way; a record can fail at several APIs.
        invalid: those of them that are no valid records, with a sample of each kind.
        resumed: number of these records that an earlier run, which this one resumes or mends, has
            written.
        mended: number of records whose calls were made again, and which are ok now.
        seconds: duration of the run.
        processes: number of processes that make calls.
        processor_seconds: CPU time of these processes and this one, added up.
        workers_memory: bytes that these processes occupy; 0 if it is this one.
        input_seconds: time spent waiting for input.
        output_held: seconds that the output, and with it the input, was delayed, by cause.
    """

    def __init__(self, names: Sequence[str], prices: Sequence[Price | None] = ()) -> None:
        self.apis = [ApiStatistics(*each) for each in zip_longest(names, prices)]
        self.read = 0
        self.written = 0
        self.ok = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.failures: Counter[Failure] = Counter()
        self.invalid = FailureCounts()
        self.resumed = 0
        self.mended: int | None = None  # the run does not mend
        self._not_ok_resumed = 0
        self.seconds = 0.0
        self.processes = 1
        self.processor_seconds = 0.0
        self.workers_memory = 0
        self.input_seconds = 0.0
        self.output_held = BlockedTime[OutputHeldBy]()

    def __repr__(self) -> str:
        counts = f"{self.read} read, {self.written} written, {self.ok} ok, {self.not_ok} not ok"
        return f"<RunStatistics: {counts}>"

    def resume_after(self, kept: Kept) -> None:
        """Count the records that an earlier run has written as read and written."""
        self.resumed = self.read = self.written = kept.records
        self.ok = kept.ok
        self.errors.update(kept.errors)
        self.failures.update(kept.failures)
        self._not_ok_resumed = self.not_ok

    def keep(self, ok: int, not_ok: int) -> None:
        """Count records whose lines an earlier run has written, while they are mended.

        Args:
            ok: number of those that are ok; they are counted nowhere else.
            not_ok: number of those that are not; they are read and written as all others are.
        """
        self.resumed += ok + not_ok
        self.read += ok
        self.written += ok
        self.ok += ok
        self._not_ok_resumed += not_ok

    @property
    def not_ok(self) -> int:
        """The number of records written that are not ok."""
        return self.errors.total()

    @property
    def own(self) -> tuple[int, int]:
        """The number of records of this run alone that are not ok, and that were written."""
        return self.not_ok - self._not_ok_resumed, self.written - self.resumed

    @property
    def attempts(self) -> int:
        """The number of requests begun, over all APIs."""
        return sum(api.attempts for api in self.apis)

    @property
    def requests_per_second(self) -> float:
        """The number of requests begun per second of the run, over all APIs."""
        return self.attempts / self.seconds if self.seconds else 0.0

    @property
    def cost(self) -> Decimal:
        """The money that the calls of this run cost, over all APIs that have a price."""
        return sum((api.cost for api in self.apis), Decimal(0))

    def conclude(self, now: float, started: float, processor_seconds: float) -> None:
        """Record the end of the run.

        Args:
            now: the time, in seconds.
            started: when the run started.
            processor_seconds: CPU time that this process spent on it.
        """
        self.seconds = now - started
        self.processor_seconds += processor_seconds
        self.output_held.note(None, now)
        for api in self.apis:
            api.held.note(None, now)

    def wrote(self, results: Sequence[Result]) -> None:
        """Count results that have been written."""
        self.written += len(results)
        for result in results:
            if result.ok:
                self.ok += 1
            elif failures := result.failures:
                self.errors[failures[0].kind] += 1
                self.failures.update(failures)
                if result.error:
                    self.invalid.add(result.error, None, result.index)

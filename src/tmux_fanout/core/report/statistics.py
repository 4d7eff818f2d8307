"""What a run counts.  All of it is of fixed size, however long the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.histogram import Histogram
from tmux_fanout.core.report.blocked_time import BlockedTime
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import Kept

HeldBy = Literal["limit", "rate", "paused", "breaker", "window"]
OutputHeldBy = Literal["head_of_line", "reader"]


class TimeSpent:
    """Seconds that calls, and their attempts, spent in each phase; added up over all of them.

    Attributes:
        queueing: from admission to the first attempt.
        connecting: attempts, until they had a connection.
        waiting: attempts, from there to the first byte of the response.
        reading: attempts, from there to the last one; a response that comes at once takes none.
        backing_off: between attempts.
    """

    __slots__ = ("backing_off", "connecting", "queueing", "reading", "waiting")

    def __init__(self) -> None:
        self.queueing = 0.0
        self.connecting = 0.0
        self.waiting = 0.0
        self.reading = 0.0
        self.backing_off = 0.0

    def attempt(
        self, began: float, connected_at: float, first_byte_at: float, ended: float, *, sent: bool
    ) -> None:
        """An attempt is over.

        Args:
            connected_at: when it had made a connection; 0 if it made none.
            first_byte_at: when its response began; 0 if it came at once, or not at all.
            sent: whether it came as far as sending.
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
    """What one API's calls came to.

    Attributes:
        calls: settled so far; the kinds in `errors` are some of them.
        attempts: requests begun.
        hedges: those among them that were made because another was slow.
        in_flight: attempts under way now.
        limit: how many there may be now.
        held: what kept the first of the calls that waited from going, and for how long.
        spent: what calls and attempts spent their time on.
        latency: seconds of each call, from its first attempt to its outcome.
        bytes_sent, bytes_received: request bodies; whole responses.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def __repr__(self) -> str:
        counts = f"{self.calls} calls, {self.attempts} attempts, {self.in_flight} in flight"
        return f"<ApiStatistics {self.name}: {counts}>"

    def reset(self) -> None:
        """Begin at nothing."""
        self.calls = 0
        self.attempts = 0
        self.hedges = 0
        self.in_flight = 0
        self.limit = 0
        self.held = BlockedTime[HeldBy]()
        self.spent = TimeSpent()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.latency = Histogram()

    def settled(self, outcome: Outcome) -> None:
        """A call has its outcome."""
        self.calls += 1
        if outcome.attempts:
            self.latency.add(outcome.seconds)
        if outcome.error:
            self.errors[outcome.error.kind] += 1


class RunStatistics:
    """What a run came to.

    Attributes:
        read: records read; each of them is written once.
        written: lines written.
        ok: records ok among those written.
        errors: the others, by the kind of their first error.
        there: how many of all these records are of an earlier run, which this one goes on with.
        seconds: how long the run took.
        processes: how many make calls.
        processor_seconds: how long they, and this one, were busy meanwhile; added up.
        input_seconds: how long there was nothing to read.
        output_held: what kept lines from being written, and with that records from being read.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.apis = [ApiStatistics(name) for name in names]
        self.read = 0
        self.written = 0
        self.ok = 0
        self.errors: Counter[ErrorKind] = Counter()
        self.there = 0
        self._not_ok_there = 0
        self.seconds = 0.0
        self.processes = 1
        self.processor_seconds = 0.0
        self.input_seconds = 0.0
        self.output_held = BlockedTime[OutputHeldBy]()

    def __repr__(self) -> str:
        counts = f"{self.read} read, {self.written} written, {self.ok} ok, {self.not_ok} not ok"
        return f"<RunStatistics: {counts}>"

    def go_on_after(self, kept: Kept) -> None:
        """Count what an earlier run has left as read and written."""
        self.there = self.read = self.written = kept.records
        self.ok = kept.ok
        self.errors.update(kept.errors)
        self._not_ok_there = self.not_ok

    @property
    def not_ok(self) -> int:
        return self.errors.total()

    @property
    def own(self) -> tuple[int, int]:
        """Records of this run alone: how many are not ok, and of how many that were written."""
        return self.not_ok - self._not_ok_there, self.written - self.there

    @property
    def attempts(self) -> int:
        return sum(api.attempts for api in self.apis)

    def conclude(self, now: float, started: float, processor_seconds: float) -> None:
        """The run is over."""
        self.seconds = now - started
        self.processor_seconds = processor_seconds
        self.output_held.note(None, now)
        for api in self.apis:
            api.held.note(None, now)

    def wrote(self, results: Sequence[Result]) -> None:
        """These results have been handed over."""
        self.written += len(results)
        for result in results:
            if result.ok:
                self.ok += 1
            elif error := result.first_error:
                self.errors[error.kind] += 1

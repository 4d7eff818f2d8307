"""What this worker reports to its parent: results, counts and notices."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import trio

from tmux_fanout.core.dealing.messages import Counted, Done, GivenUp, Notice, encode_message
from tmux_fanout.core.errors import OutputClosed
from tmux_fanout.core.report.merge import counts_of
from tmux_fanout.core.results.containment import encode_lines
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.process import occupied_memory
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.engine.workers.member.sent_flags import SentFlags
from tmux_fanout.engine.workers.pipes import Sender


class ReportingSink:
    """A sink that reports results to the parent.

    Args:
        pipe: to the parent.
        encode: returns the line of a result.
        shows_outcomes: whether to report the outcomes of a result, too; None: never.
        flags: of requests that may have been sent, to be freed once a record is reported; or None.
        is_spent: returns whether no more attempts begin, as the share of the budget is spent.
    """

    def __init__(
        self,
        pipe: Sender,
        encode: Callable[[Result], bytes],
        shows_outcomes: Callable[[Result], bool] | None,
        flags: SentFlags | None,
        is_spent: Callable[[], bool],
    ) -> None:
        self._pipe = pipe
        self._encode = encode
        self._shows_outcomes = shows_outcomes
        self._flags = flags
        self._is_spent = is_spent

    def __repr__(self) -> str:
        return f"<ReportingSink: {self._pipe!r}>"

    async def put(self, results: Sequence[Result]) -> None:
        indexes = [result.index for result in results]
        lines = encode_lines(self._encode, results)  # first: a failure makes it not ok
        shown = filter(self._shows_outcomes, results) if self._shows_outcomes else ()
        done = Done(
            indexes,
            lines,
            {result.index: result.failures for result in results if not result.ok},
            {result.index: result.outcomes for result in shown},
            # With the records, as they may be the last ones, which end the whole run.
            self._is_spent(),
        )
        try:
            message = encode_message(done)
        except Exception:  # a lone surrogate, say, in outcomes that are only shown
            message = encode_message(msgspec.structs.replace(done, outcomes={}))
        try:
            await self._pipe.send(message)
        except OSError as exc:
            raise OutputClosed("the parent process has gone") from exc
        if self._flags:
            self._flags.forget(indexes)  # no sooner: the flags speak for records without a report

    async def consumer_gone(self) -> None:
        await trio.sleep_forever()  # the end of the other pipe shows it

    def hurry(self, patience: float) -> None:
        """Do nothing: the parent either reads or has gone."""


class Reporter:
    """Reports counts and notices to the parent at intervals.

    Args:
        pipe: to the parent.
        run: whose statistics to report.
        notices: those that were not reported yet; emptied by each report.
        reasons: why the run is to be given up; emptied as well.
    """

    def __init__(
        self, pipe: Sender, run: Pipeline, notices: deque[str], reasons: list[str]
    ) -> None:
        self._pipe = pipe
        self._reasons = reasons
        self._run = run
        self._notices = notices
        self._last: Counted | None = None

    def __repr__(self) -> str:
        return f"<Reporter: {len(self._notices)} notices, last {self._last}>"

    async def report(self, *, always: bool = False) -> None:
        """Report notices, and counts if they have changed.

        Args:
            always: whether to report counts even if they have not.
        """
        told = {line for api in self._run.statistics.apis for line in api.told.values()}
        notices = [text for text in self._notices if text not in told]  # these are in the counts
        texts = [text.encode(errors="backslashreplace").decode() for text in notices]
        messages = [encode_message(Notice(text)) for text in texts]
        self._notices.clear()
        messages += [encode_message(GivenUp(reason)) for reason in self._reasons]
        self._reasons.clear()
        apis = [counts_of(api) for api in self._run.statistics.apis]
        waits, loads, last = self._run.waits(), self._run.loads(), self._last
        is_new = last is None or (apis, waits, loads) != (last.apis, last.waits, last.loads)
        if always or is_new:
            busy = time.process_time()
            self._last = Counted(apis, busy, waits, loads, occupied_memory())
            messages.append(encode_message(self._last))
        with (
            trio.CancelScope(shield=True),
            suppress(OSError),
        ):  # needs no deadline: the parent reads, or has gone
            await self._pipe.send(b"".join(messages))

    async def report_every(self, seconds: float) -> None:
        """Report at this interval, until cancelled."""
        while True:
            await self.report()
            await trio.sleep(seconds)

"""Shares of limits for members that nobody deals records to, as they get those from elsewhere.

Such a member reports to one place, and gets its orders in the answer: its share, and what others
have found out about endpoints since it reported last.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tmux_fanout.core.dealing.messages import (
    Asks,
    Elsewhere,
    Found,
    Frames,
    Granted,
    Heard,
    Tallied,
    TallyUp,
    decode_report,
    encode_message,
)
from tmux_fanout.core.sharing.conditions import Board, Condition
from tmux_fanout.core.sharing.holder import Amount, Holder
from tmux_fanout.core.sharing.tallies import Key, Ledger

_ASKED_EVERY = 0.5  # seconds: nobody can tell a member that another has come
_FORGOTTEN_AFTER = 3600.0  # seconds without a report


class Registrar:
    """Holds the limits of runs.

    Args:
        grace: seconds for which attempts of a member that is gone may go on.
    """

    def __init__(self, grace: float = 1.0) -> None:
        self._grace = grace
        self._runs: dict[str, _Run] = {}

    def __repr__(self) -> str:
        return f"<Registrar: {len(self._runs)} runs>"

    def report(
        self,
        run: str,
        member: str,
        amounts: Sequence[Amount],
        data: bytes,
        now: float,
        *,
        is_settled: bool = False,
    ) -> bytes:
        """Take the reports of a member, as frames, and return its orders.

        Args:
            run: name of the run.
            member: name of the member, unique in the run.
            amounts: the limits of the run.
            data: its reports; none if it leaves.
            now: the time.
            is_settled: whether one that leaves has spent no more than it said last.
        """
        self._runs = {
            name: each
            for name, each in self._runs.items()
            if now < each.reported_at + _FORGOTTEN_AFTER
        }
        if run not in self._runs:
            self._runs[run] = _Run(amounts, self._grace)
        self._runs[run].reported_at = now
        if not data:
            self._runs[run].leave(member, now, is_settled=is_settled)
            return b""
        return self._runs[run].report(member, data, now)

    def leave(self, prefix: str, now: float) -> None:
        """Have all members leave whose name begins like this."""
        for run in self._runs.values():
            for member in [each for each in run.news if each.startswith(prefix)]:
                run.leave(member, now)


class _Run:
    """The limits of one run.

    Attributes:
        news: by member, what it has to be told.
        reported_at: when a member reported last.
    """

    def __init__(self, amounts: Sequence[Amount], grace: float) -> None:
        self._holder = Holder[str](amounts, grace=grace)
        self._board = Board[str]()
        self._ledger = Ledger[str]()
        self._busy: set[str] = set()  # members that have calls
        self._questions: dict[str, dict[Key, None]] = {}  # by member, what it has to report on
        self.news: dict[str, list[Condition]] = {}
        self.reported_at = 0.0

    def report(self, member: str, data: bytes, now: float) -> bytes:
        if member not in self.news:
            self.news[member] = list(self._board.current(now))
        orders = b""
        for content in Frames().feed(data):
            report = decode_report(content)
            if isinstance(report, Asks):
                grant = self._holder.answer(member, report.ask, now)
                grant = replace(grant, again=min(grant.again, _ASKED_EVERY))
                orders += encode_message(Granted(grant))
                (self._busy.discard if report.ask.is_idle else self._busy.add)(member)
            elif isinstance(report, Tallied):
                orders += self._tally(member, report, now)
            elif isinstance(report, Found):
                told = self._board.add(member, report.conditions, now)
                self.news[member] += self._board.leave_to_others(member, report.conditions, now)
                for other in self.news.keys() - {member}:
                    self.news[other] += told
        if self.news[member]:
            orders += encode_message(Heard(self.news[member]))
            self.news[member] = []
        if questions := self._questions.pop(member, None):
            orders += encode_message(TallyUp(list(questions)))
        return orders

    def _tally(self, member: str, tallied: Tallied, now: float) -> bytes:
        """Note what a member has counted, and return what it has to know, if it asks."""
        self._ledger.add(member, tallied.tallies, now)
        if not tallied.asks:
            return b""
        keys = [each.key for each in tallied.tallies]
        others = self.news.keys() - {member}
        for key in self._ledger.questions(keys, now):
            for other in others:
                self._questions.setdefault(other, {})[key] = None
        tallies = self._ledger.others(member, keys, others, now)
        records = None if self._busy - {member} else 0
        return encode_message(Elsewhere(tallies, records))

    def leave(self, member: str, now: float, *, is_settled: bool = False) -> None:
        self.news.pop(member, None)
        self._holder.leave(member, now, is_settled=is_settled)
        self._board.leave(member)
        self._ledger.leave(member)
        self._busy.discard(member)
        self._questions.pop(member, None)

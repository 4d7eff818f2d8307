"""The course of a run: what happened in each of its stretches.

How long the run is shows at its end only.  So stretches begin short, and whenever there are too
many of them, each two neighbours become one.  Their lengths are powers of two, so a stretch has the
same bounds in whichever order records come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tmux_fanout.core.review.figures import ApiStretch, Stretch
from tmux_fanout.core.review.latencies import ROUGHLY, Latencies

MAX_STRETCHES = 200

_WAYS = 30  # of failing, that a stretch tells apart
_OTHERS = "other failures"
_GATHERED = 256  # durations of a stretch that are added together


class _Cell:
    """The calls of one API in one stretch."""

    __slots__ = ("calls", "failures", "latencies", "recovered")

    def __init__(self) -> None:
        self.calls = 0
        self.recovered = 0
        self.failures: Counter[str] = Counter()
        self.latencies = Latencies(ROUGHLY, _GATHERED)

    def include(self, other: _Cell) -> None:
        self.calls += other.calls
        self.recovered += other.recovered
        self.failures.update(other.failures)
        self.latencies.include(other.latencies)

    def figures(self) -> ApiStretch:
        p50, p90, p99 = self.latencies.percentiles(0.5, 0.9, 0.99) or (None, None, None)
        return ApiStretch(
            calls=self.calls,
            recovered=self.recovered,
            not_ok=self.failures.total(),
            failures=dict(self.failures.most_common()),
            p50=p50,
            p90=p90,
            p99=p99,
            max=self.latencies.max,
        )


class Section:
    """One stretch, while it is counted."""

    __slots__ = ("cells", "not_ok", "records")

    def __init__(self) -> None:
        self.records = 0
        self.not_ok = 0
        self.cells: dict[str, _Cell] = {}

    def add_record(self, *, ok: bool) -> None:
        """Count a record."""
        self.records += 1
        if not ok:
            self.not_ok += 1

    def add_call(self, api: str, seconds: float | None, attempts: int, failure: str) -> None:
        """Count a call.

        Args:
            api: name of the API.
            seconds: that it took; None if nothing was sent.
            attempts: number of requests.
            failure: why it is not ok; "" if it is.
        """
        cell = self.cells.get(api)
        if cell is None:
            cell = self.cells[api] = _Cell()
        cell.calls += 1
        if failure:
            is_known = failure in cell.failures or len(cell.failures) < _WAYS
            cell.failures[failure if is_known else _OTHERS] += 1
        elif attempts > 1:
            cell.recovered += 1
        if seconds is not None:
            cell.latencies.add(seconds)

    def include(self, other: Section) -> None:
        """Add what was counted in another one."""
        self.records += other.records
        self.not_ok += other.not_ok
        for name, cell in other.cells.items():
            if name in self.cells:
                self.cells[name].include(cell)
            else:
                self.cells[name] = cell


class Course:
    """The stretches of a run, by index or by time.

    Args:
        unit: length of the shortest stretch, in what stretches are reported in.
    """

    def __init__(self, unit: float = 1) -> None:
        self._unit = unit
        self._shift = 0  # a stretch has 2 ** shift units
        self._sections: dict[int, Section] = {}
        self._low = self._high = 0  # keys of the first and the last one

    def __repr__(self) -> str:
        return f"<Course: {len(self._sections)} stretches of {self._unit * 2**self._shift}>"

    def at(self, position: float) -> Section:
        """Return the stretch of an index, or of a time."""
        key = int(position / self._unit) >> self._shift
        section = self._sections.get(key)
        if section is not None:
            return section
        if not self._sections:
            self._low = self._high = key
        self._low, self._high = min(self._low, key), max(self._high, key)
        section = self._sections[key] = Section()
        if self._high - self._low < MAX_STRETCHES:
            return section
        while self._high - self._low >= MAX_STRETCHES:
            self._halve()
        return self.at(position)

    def _halve(self) -> None:
        before, self._sections = self._sections, {}
        self._shift += 1
        self._low >>= 1
        self._high >>= 1
        for key, section in before.items():
            joined = self._sections.get(key >> 1)
            if joined is None:
                self._sections[key >> 1] = section
            else:
                joined.include(section)

    def stretches(self) -> Sequence[Stretch]:
        """Return what happened in each stretch in which anything did, in order."""
        length = self._unit * 2**self._shift
        return [
            Stretch(
                start=key * length,
                end=(key + 1) * length,
                records=section.records,
                not_ok=section.not_ok,
                apis={name: cell.figures() for name, cell in section.cells.items()},
            )
            for key, section in sorted(self._sections.items())
        ]

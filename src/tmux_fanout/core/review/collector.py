"""Collect what a run came to, line by line of its output, in memory of a fixed size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tmux_fanout.core.display.summary_json import Summary
from tmux_fanout.core.errors import ErrorKind, Failure, status_of
from tmux_fanout.core.results.output_line import Damaged, OutputLine, WrittenOutcome, parse_written
from tmux_fanout.core.review.api_collector import ApiCollector, Place
from tmux_fanout.core.review.course import Course, Section
from tmux_fanout.core.review.figures import FailedRecords, OutputFigures

_MAX_APIS = 100
_MAX_WAYS = 1000  # of failing
_OTHERS = "others"
_MAX_INDEX = 1 << 53
_MAX_NUMBER = 1 << 31  # of attempts
_MAX_STATUS = 1000
_MAX_SECONDS = 1e9
_SHORTEST = 2.0**-4  # seconds of a stretch of time
_SAMPLES = 3  # invalid records


class Collector:
    """Counts the lines of one output.

    Args:
        output: what to call it.
        summary: of the run that wrote it, if there is one.
    """

    def __init__(self, output: str, summary: Summary | None = None) -> None:
        self._output = output.encode(errors="backslashreplace").decode()  # a name may be any bytes
        self._summary = summary
        self._lines = 0
        self._damaged = 0
        self._first_damage: str | None = None
        self._records = 0
        self._ok = 0
        self._invalid = 0
        self._cut_short = 0
        self._errors: Counter[ErrorKind] = Counter()
        self._failures: Counter[Failure] = Counter()
        self._excerpts: dict[int, bytes] = {}  # of invalid records
        self._by_index = Course()
        self._by_time: Course | None = None
        self._started: tuple[float, float] | None = None
        self._apis: dict[str, ApiCollector] = {}

    def __repr__(self) -> str:
        return f"<Collector {self._output}: {self._lines} lines, {self._damaged} damaged>"

    @property
    def output(self) -> str:
        """What the output is called."""
        return self._output

    @property
    def lines(self) -> int:
        """The number of lines so far."""
        return self._lines

    @property
    def damaged(self) -> int:
        """The number of lines that are not of `--emit envelope`."""
        return self._damaged

    @property
    def first_damage(self) -> str | None:
        """The number of the first such line, and what is wrong with it."""
        return self._first_damage

    def add_damaged(self, why: str) -> None:
        """Count a line that cannot be read."""
        self._lines += 1
        self._damaged += 1
        self._first_damage = self._first_damage or f"line {self._lines}: {why}"

    def add(self, line: bytes) -> None:
        """Count a line."""
        try:
            written = parse_written(line)
            self._check(written)
        except Damaged as exc:
            self.add_damaged(str(exc))
            return
        self._lines += 1
        self._records += 1
        place = Place(written.index, self._lines, line)
        sections = self._sections(written)
        for section in sections:
            section.add_record(ok=written.ok)
        if written.ok:
            self._ok += 1
        else:
            self._add_failures(written, place)
        self._cut_short += written.is_cut_short
        for name, outcome in zip(written.names or (), written.outcomes):
            api = self._apis.get(name)
            if api is None:
                api = self._apis[name] = ApiCollector()
            api.add(outcome, place)
            if not (outcome.skipped and outcome.ok):
                _add_call(sections, name, outcome)

    def _check(self, written: OutputLine) -> None:
        """Refuse what no run writes, and what would take more and more memory."""
        if not 0 <= written.index < _MAX_INDEX:
            raise Damaged("its index is out of range")
        if written.started is not None and not 0 <= written.started < _MAX_SECONDS * 100:
            raise Damaged("its time is out of range")
        for outcome in written.outcomes:
            if not (0 <= outcome.attempts < _MAX_NUMBER and 0 <= outcome.seconds < _MAX_SECONDS):
                raise Damaged("its attempts or seconds are out of range")
            if outcome.status is not None and not 0 <= outcome.status < _MAX_STATUS:
                raise Damaged("its status is out of range")
        names = written.names or ()
        if len(names) > _MAX_APIS or (
            len(self._apis) + len(names) > _MAX_APIS
            and len(self._apis.keys() | set(names)) > _MAX_APIS
        ):
            raise Damaged(f"more than {_MAX_APIS} APIs")

    def _sections(self, written: OutputLine) -> tuple[Section, ...]:
        by_index = self._by_index.at(written.index)
        started = written.started
        if started is None:
            return (by_index,)
        if self._by_time is None or self._started is None:
            self._by_time = Course(_SHORTEST)
            self._started = (started, started)
        self._started = (min(self._started[0], started), max(self._started[1], started))
        return by_index, self._by_time.at(started)

    def _add_failures(self, written: OutputLine, place: Place) -> None:
        if written.error:
            self._invalid += 1
            if len(self._excerpts) < _SAMPLES:
                self._excerpts[place.number] = place.excerpt
        failures = written.failures
        if failures:
            self._errors[failures[0].kind] += 1
        for failure in failures:
            if failure not in self._failures and len(self._failures) >= _MAX_WAYS:
                api = failure.api if failure.api in self._apis else _OTHERS
                failure = Failure(api, failure.kind)  # noqa: PLW2901
            self._failures[failure] += 1

    def excerpts(self) -> Mapping[int, str]:
        """Return the beginnings of the lines that figures name, by their numbers."""
        found = dict(self._excerpts)
        for api in self._apis.values():
            found.update(api.excerpts())
        return {number: line.decode(errors="replace") for number, line in sorted(found.items())}

    def figures(self) -> OutputFigures:
        """Return what was counted."""
        return OutputFigures(
            output=self._output,
            lines=self._lines,
            damaged=self._damaged,
            first_damage=self._first_damage,
            records=self._records,
            ok=self._ok,
            not_ok=self._records - self._ok,
            invalid=self._invalid,
            cut_short=self._cut_short,
            errors=dict(self._errors.most_common()),
            failures=[
                FailedRecords(failure.api or None, failure.kind, failure.status, count)
                for failure, count in self._failures.most_common()
            ],
            started=self._started[0] if self._started else None,
            last_started=self._started[1] if self._started else None,
            by_index=self._by_index.stretches(),
            by_time=self._by_time.stretches() if self._by_time else (),
            apis={name: api.figures() for name, api in self._apis.items()},
            summary=self._summary,
        )


def _add_call(sections: tuple[Section, ...], name: str, outcome: WrittenOutcome) -> None:
    error = outcome.error
    failure = Failure("", error.kind, status_of(error.kind, outcome.status)).label if error else ""
    seconds = outcome.seconds if outcome.attempts else None
    for section in sections:
        section.add_call(name, seconds, outcome.attempts, failure)

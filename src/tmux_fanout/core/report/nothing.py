"""Find settings that had no effect on any record: most are misspelt.

A `when` that is never true, a `select` that finds nothing, and a field that no record has leave
results that are ok, and empty.  Where each of them has had an effect once, nothing is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.failures import excerpt
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.requests.advice.rewriting import rewrite_bare_text, shown
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.expressions import Expression
from tmux_fanout.core.requests.response_reader import ResponseReader
from tmux_fanout.core.requests.series.pages import LINK, PagesPlan
from tmux_fanout.core.text import describe, printable

_ENOUGH = 100  # records that show whether a setting has an effect, where a run ends early


def shows_effects(stats: RunStatistics, ending: Ending) -> bool:
    """Return whether a run has had enough records to show what has no effect."""
    return ending is Ending.FINISHED or stats.written >= _ENOUGH


class Settings(NamedTuple):
    """What may have no effect in an API.

    Attributes:
        name: name of the API.
        requests: builds its requests.
        responses: reads its responses.
        is_first: whether it depends on no other API.
        pages: how it finds the pages of a list; None: there is one only.
    """

    name: str
    requests: RequestBuilder
    responses: ResponseReader
    is_first: bool
    pages: PagesPlan | None = None


def without_effect(stats: RunStatistics, apis: Sequence[Settings]) -> list[str]:
    """Return a sentence on each setting that had no effect in a run that has ended.

    There is none where an earlier run has made calls, too: they may have had an effect there.
    """
    if stats.resumed:
        return []
    return [text for api, counts in zip(apis, stats.apis) for text in _in_run(api, counts)]


def _in_run(api: Settings, counts: ApiStatistics) -> Iterator[str]:
    if counts.skipped == counts.calls:
        if counts.ruled_out and api.requests.when:
            yield _never_called(api.name, api.requests.when)
        return
    select = api.responses.select
    if select and counts.nothing_in and not counts.has_found:
        found = f"select {describe(select.text)} found nothing in any response"
        what = f"{found}, such as {excerpt(counts.nothing_in)}"
        yield f"{api.name}: {what}"
    if api.pages and counts.no_next and not counts.has_next:
        where = LINK if api.pages.next is None else api.pages.next.text
        what = f"pages.next {describe(where)} found no next page in any response"
        yield f"{api.name}: {what}: {counts.no_next}"
    unseen = api.requests.fields.keys() - counts.fields_seen
    if unseen:
        yield _no_value(api, unseen)


def never_true(apis: Sequence[Settings]) -> list[str]:
    """Return a sentence on each `when` that is true of no record, whatever it holds."""
    return [
        _never_called(api.name, when)
        for api in apis
        if (when := api.requests.when) and when.is_never_true
    ]


class Trial:
    """Try the settings of an API on records, before anything is sent.

    Args:
        api: the settings.
    """

    def __init__(self, api: Settings) -> None:
        self._api = api
        self._is_called = False
        self._unseen = set(api.requests.fields)

    def __repr__(self) -> str:
        return f"<Trial of {self._api.name}: {', '.join(self.without_effect()) or 'passed'}>"

    def needs(self, record: Record) -> bool:
        """Try one more record; return whether some setting still has had no effect."""
        if record.error is None and self._api.requests.is_called_for(record):
            self._is_called = True
            self._unseen -= self._api.requests.fields_of(self._unseen, record)
        return not self._is_called or bool(self._unseen)

    def without_effect(self) -> list[str]:
        """Return a sentence on each setting that has had no effect."""
        when = self._api.requests.when
        if not self._is_called:
            return [_never_called(self._api.name, when)] if when else []
        return [_no_value(self._api, self._unseen)] if self._unseen else []


def _never_called(name: str, when: Expression) -> str:
    what = f"when {describe(when.text)} is true of no record, so it is never called"
    if meant := rewrite_bare_text(when.text):
        reasons = "; ".join(meant.reasons)
        return f"{name}: {what}; {reasons}: for text, write {shown(meant.text)}"
    return f"{name}: {what}; tmux-fanout explain tries it"


def _no_value(api: Settings, names: Collection[str]) -> str:
    places = api.requests.fields
    shown = ", ".join(f"{name} ({places[name]})" for name in places if name in names)
    return f"{api.name}: no record has a value for {printable(shown)}"

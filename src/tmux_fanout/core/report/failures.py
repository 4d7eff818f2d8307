"""Count what failed, by kind and status, and keep a sample of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, status_of
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.redaction import redact_response
from tmux_fanout.core.text import printable

_EXCERPT = 100  # characters of a body that a sample shows
_KEPT = 8 * _EXCERPT  # bytes of it that are kept: four a character, and white space


class FailedCalls(msgspec.Struct, frozen=True, array_like=True):
    """How many calls, or records, failed in one way, and a sample.

    Attributes:
        kind: of their errors.
        status: of the responses, if the kind is `status`.
        count: number of them.
        record: index of the record of the sample.
        message: of its error.
        start: of the body of its response, as JSON text; empty if there is none that is text.
    """

    kind: ErrorKind
    status: int | None
    count: int
    record: int
    message: str
    start: bytes = b""

    @property
    def body(self) -> str:
        """The beginning of the body, on one line, without secrets."""
        return excerpt(self.start)


def excerpt(body: bytes) -> str:
    """Return the beginning of a body for a message: on one line, without secrets."""
    text = redact_response(body[:_KEPT].decode("utf-8", "ignore"))
    return printable(" ".join(text.split()), _EXCERPT)


class FailureCounts:
    """Counts failures; as many entries as there are kinds and statuses, however many failures."""

    def __init__(self) -> None:
        self._entries: dict[tuple[ErrorKind, int | None], FailedCalls] = {}

    def __repr__(self) -> str:
        return f"<FailureCounts: {dict(self.by_kind())}>"

    def __iter__(self) -> Iterator[FailedCalls]:
        """Yield the entries, the most frequent first."""
        yield from sorted(self._entries.values(), key=lambda each: -each.count)

    def get(self, kind: ErrorKind, status: int | None) -> FailedCalls | None:
        """Return one entry, or None."""
        return self._entries.get((kind, status))

    def by_kind(self) -> Counter[ErrorKind]:
        """Return the counts by kind alone."""
        kinds: Counter[ErrorKind] = Counter()
        for each in self._entries.values():
            kinds[each.kind] += each.count
        return kinds

    def add(
        self, error: ErrorInfo, status: int | None, index: int, content: Body | None = None
    ) -> None:
        """Count a failure; the sample of its kind is that of the last record, in input order.

        Args:
            error: why it failed.
            status: of the response, or None.
            index: of the record.
            content: the body of the response, or None; null is no sample.
        """
        key = error.kind, status_of(error.kind, status)
        before = self._entries.get(key)
        start = b""
        if content is not None and not content.encoding and content.json != b"null":
            start = content.json[:_KEPT]
        failed = FailedCalls(*key, 1, index, error.message, start)
        self._entries[key] = _sum(before, failed) if before else failed

    def include(self, counts: Iterable[FailedCalls]) -> None:
        """Add the failures of another process."""
        for each in counts:
            key = each.kind, each.status
            own = self._entries.get(key)
            self._entries[key] = _sum(own, each) if own else each


def _sum(one: FailedCalls, other: FailedCalls) -> FailedCalls:
    last = max(one, other, key=lambda failed: failed.record)
    return msgspec.structs.replace(last, count=one.count + other.count)

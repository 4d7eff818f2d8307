"""What lines have only if asked: timings (`--timings`), traces (`traceparent`), `shared`, `cached`.

They are added to what is encoded already, so that a run without them takes no step for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tmux_fanout.core.results.envelope import ENCODERS, Emit, encode_outcome, envelope_encoder
from tmux_fanout.core.results.mend import MendRecord, mend_encoder
from tmux_fanout.core.results.outcome import Outcome, Result, Timings


class Starts:
    """When the records were begun that are not written yet."""

    def __init__(self) -> None:
        self._times: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Starts: {len(self._times)} records>"

    def note(self, index: int, start: float) -> None:
        """Record when a call of a record was begun; the first of its calls counts.

        Args:
            index: Of the record.
            start: In seconds since 1970.
        """
        self._times[index] = min(start, self._times.get(index, start))

    def take(self, index: int) -> float | None:
        """Return when a record was begun, and forget it; None if it was not, or is forgotten."""
        return self._times.pop(index, None)


def encoder_for(
    emit: Emit,
    names: Sequence[str],
    *,
    mends: bool = False,
    starts: Starts | None = None,
    has_marks: bool = False,
) -> Callable[[Result], bytes]:
    """Return a function that encodes results as lines.

    Args:
        emit: The form of the lines.
        names: The names of the APIs.
        mends: Whether results are those of `MendRecord`s, which need `emit` to be `envelope`.
        starts: When records were begun, to be in the lines of envelopes with all other timings;
            None: neither is.
        has_marks: Whether outcomes of envelopes may be shared or cached, or have the id of a trace.
    """
    if emit != "envelope" or (starts is None and not has_marks):
        return mend_encoder(names) if mends else ENCODERS[emit](names)
    encode_one: Callable[[Outcome], bytes] = _encode_marked if has_marks else encode_outcome
    if starts is not None:
        encode_one = _timed(encode_one)
    encode = mend_encoder(names, encode_one) if mends else envelope_encoder(names, encode_one)
    return encode if starts is None else _with_starts(encode, starts)


def _with_starts(encode: Callable[[Result], bytes], starts: Starts) -> Callable[[Result], bytes]:
    """Return a function that adds to each line when its record was begun."""

    def line_of(result: Result) -> bytes:
        line = encode(result)
        record = result.source
        started = starts.take(record.index)
        if started is None or (isinstance(record, MendRecord) and line is record.line):
            return line
        return b'%b,"started":%.3f}\n' % (line[: -len(b"}\n")], started)

    return line_of


def _encode_marked(outcome: Outcome) -> bytes:
    encoded = encode_outcome(outcome)
    if outcome.shared:
        encoded = b'%b,"shared":true}' % encoded[:-1]
    if outcome.cached:
        encoded = b'%b,"cached":true}' % encoded[:-1]
    if outcome.trace:
        encoded = b'%b,"trace":"%b"}' % (encoded[:-1], outcome.trace.encode())
    return encoded


def _timed(encode: Callable[[Outcome], bytes]) -> Callable[[Outcome], bytes]:
    """Return a function that adds its timings to an outcome that `encode` has encoded."""

    def encode_timed(outcome: Outcome) -> bytes:
        encoded = encode(outcome)
        if outcome.timings is None:
            return encoded
        return b'%b,"timings":%b}' % (encoded[:-1], encode_timings(outcome.timings))

    return encode_timed


def encode_timings(timings: Timings) -> bytes:
    """Encode timings as a JSON object; what an attempt did not have is null."""
    return b'{"connect":%b,"first_byte":%b,"total":%.4f,"bytes":%d}' % (
        _seconds(timings.connect),
        _seconds(timings.first_byte),
        timings.total,
        timings.bytes,
    )


def _seconds(seconds: float | None) -> bytes:
    return b"null" if seconds is None else b"%.4f" % seconds

"""The messages between the process that deals records and its workers.

Each message is a frame: its length in four bytes, big-endian, and then MessagePack.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tmux_fanout.core.errors import Failure
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.merge import Counts
from tmux_fanout.core.report.waits import Wait
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.lease import Ask, Grant
from tmux_fanout.core.sharing.tallies import Key, Tally
from tmux_fanout.core.tuning.tuning import Tuning

_PREFIX = 4  # bytes of a length


class Deal(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to call the APIs for records: the index and the JSON of each.

    Attributes:
        lines: by index, for records that are mended, the line of the earlier run.
    """

    indexes: Sequence[int]
    records: Sequence[bytes]
    lines: dict[int, bytes] = {}


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to cancel every call; `ending` is the run's."""

    ending: str


class Count(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to report what was counted, at once."""


class Tune(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to change rates, to pause or resume APIs, and to ask for a share of new limits.

    Attributes:
        tuning: what to change.
        connections: maximum number of attempts under way, over all APIs.
        is_less: whether nothing may begin before the share is known.
    """

    tuning: Tuning
    connections: int
    is_less: bool


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report on finished records: the index and the line of each.

    Attributes:
        failures: by index, for records that are not ok, why.
        outcomes: by index, for records whose outcomes are to be shown.
        is_spent: whether the worker begins no more attempts, as its share of the budget is spent.
    """

    indexes: Sequence[int]
    lines: Sequence[bytes]
    failures: dict[int, Sequence[Failure]]
    outcomes: dict[int, Sequence[Outcome]]
    is_spent: bool = False


class Counted(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report on all that was counted so far, per API.  The first one says "ready".

    Attributes:
        waits: what the calls of each API wait for now.
        loads: what each API has to do now, and how its endpoints are.
        memory: bytes that the worker occupies.
    """

    apis: Sequence[Counts]
    processor_seconds: float
    waits: Sequence[Wait | None] = ()
    loads: Sequence[Load] = ()
    memory: int = 0


class Notice(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A one-line notice for the user."""

    text: str


class GivenUp(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report that a worker begins no more attempts, and that the run is to be given up."""

    reason: str


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report that a worker cannot do its job, as the only one: the mistake, for the user."""

    text: str


class Granted(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to keep to a share of the limits."""

    grant: Grant


class Heard(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to take over what other workers have found out about endpoints."""

    conditions: Sequence[Condition]


class Found(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report on what a worker has found out about endpoints."""

    conditions: Sequence[Condition]


class Tallied(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report on what a worker has counted at endpoints.

    Attributes:
        tallies: since it was last asked, or has last reported.
        asks: whether it wants to know what others have counted there.
    """

    tallies: Sequence[Tally]
    asks: bool


class TallyUp(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to report what is counted at endpoints, as another worker is in trouble there."""

    endpoints: Sequence[Key]


class Elsewhere(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An order to take into account what other workers have counted, and what they have to do.

    Attributes:
        tallies: of the other workers together.
        records: how many unfinished records the run has elsewhere; None: not known.
    """

    tallies: Sequence[Tally]
    records: int | None


class Wants(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report that slots of a worker idle.

    Attributes:
        records: how many more it could use.
        received: how many it has received so far.
    """

    records: int
    received: int


class Asks(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A report that a worker asks for its share of the limits."""

    ask: Ask


Order = Deal | Stop | Granted | Heard | TallyUp | Elsewhere | Count | Tune
Report = Done | Counted | Notice | GivenUp | Asks | Found | Tallied | Wants | Refused

_encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_report = msgspec.msgpack.Decoder(Report).decode


def frame(data: bytes) -> bytes:
    """Return bytes as a frame."""
    return len(data).to_bytes(_PREFIX, "big") + data


def encode_message(message: Order | Report) -> bytes:
    """Return a message as a frame."""
    return frame(_encode(message))


class Frames:
    """Finds the frames in a stream of bytes, however it is split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<Frames: {len(self._buffer)} bytes of an unfinished one>"

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes to the stream, and return the contents of the frames that they complete."""
        self._buffer += data
        frames = []
        start = 0
        with memoryview(self._buffer) as view:
            while True:
                content = start + _PREFIX
                end = content + int.from_bytes(view[start:content], "big")
                if content > len(view) or end > len(view):
                    break
                frames.append(bytes(view[content:end]))
                start = end
        del self._buffer[:start]
        return frames

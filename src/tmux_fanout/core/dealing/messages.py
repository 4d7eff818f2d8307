"""What a process that deals records and those that it deals them to say to each other.

Each message is a frame: four bytes that tell its length, and MessagePack.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tmux_fanout.core.errors import ErrorKind
from tmux_fanout.core.report.merge import Counts
from tmux_fanout.core.results.outcome import Outcome

_PREFIX = 4  # bytes of a length


class Deal(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Records to call the APIs for: the index and the JSON of each."""

    indexes: Sequence[int]
    records: Sequence[bytes]


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Cancel every call; `ending` is the run's."""

    ending: str


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What came of some records: the index and the line of each.

    Attributes:
        kinds: by index, of the errors that those are counted under that are not ok.
        outcomes: by index, where they were asked for.
    """

    indexes: Sequence[int]
    lines: Sequence[bytes]
    kinds: dict[int, ErrorKind]
    outcomes: dict[int, Sequence[Outcome]]


class Counted(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What was counted so far, for each API; the first says that the process is ready."""

    apis: Sequence[Counts]
    processor_seconds: float


class Told(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a user had better know at once."""

    text: str


Order = Deal | Stop
Report = Done | Counted | Told

_encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_report = msgspec.msgpack.Decoder(Report).decode


def frame(data: bytes) -> bytes:
    """Bytes as a frame."""
    return len(data).to_bytes(_PREFIX, "big") + data


def encode_message(message: Order | Report) -> bytes:
    """A message as a frame."""
    return frame(_encode(message))


class Frames:
    """Finds the frames in a stream of bytes, however it is split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<Frames: {len(self._buffer)} bytes of an unfinished one>"

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that these bytes complete."""
        self._buffer += data
        frames = []
        start = 0
        with memoryview(self._buffer) as view:
            while True:
                at = start + _PREFIX
                end = at + int.from_bytes(view[start:at], "big")
                if at > len(view) or end > len(view):
                    break
                frames.append(bytes(view[at:end]))
                start = end
        del self._buffer[:start]
        return frames

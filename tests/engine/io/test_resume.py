"""Runs are killed at any write and resumed, in virtual time."""

from __future__ import annotations

import errno
import gzip
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import Answer, ListSource, ScriptedTransport
from trio.testing import MockClock

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import InputError
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.response_body import embed
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.core.results.resume import OutputMismatch
from tmux_fanout.engine.io.output_file import FileSink
from tmux_fanout.engine.io.result_sink import ResultSink
from tmux_fanout.engine.io.resume import find_what_is_kept
from tmux_fanout.engine.io.source import FileSource
from tmux_fanout.engine.run.local_pipeline import local_pipeline

VALUES: list[Any] = [{"n": n, "text": "x" * (n % 5)} for n in range(24)]
NAMES = ["a", "b"]
WINDOW = 5


class Killed(Exception):
    """The process has died."""


class FakeFile:
    """A file in memory that takes a piece at a time; after some writes it fails in the middle.

    Args:
        content: what is in it.
        piece: Maximum bytes that a write takes.
        writes: how many there are before the last.
        part: bytes that the last one takes.
        failure: what comes then.
        is_stuck: whether nothing can be cut off it.
    """

    def __init__(
        self,
        content: bytes = b"",
        *,
        piece: int = 1 << 20,
        writes: int = 1 << 30,
        part: int = 0,
        failure: Exception | None = None,
        is_stuck: bool = False,
    ) -> None:
        self.content = content
        self.syncs = 0
        self._piece = piece
        self._writes = writes
        self._part = part
        self._failure = failure or Killed()
        self._is_stuck = is_stuck

    def write(self, data: bytes | memoryview) -> int:
        self._writes -= 1
        if self._writes < -1 or (self._writes == -1 and not self._part):
            raise self._failure
        taken = bytes(data[: self._part if self._writes == -1 else self._piece])
        self.content += taken
        return len(taken)

    def truncate(self, size: int) -> None:
        if self._is_stuck:
            raise OSError(errno.EIO, "Input/output error")
        self.content = self.content[:size]

    def sync(self) -> None:
        self.syncs += 1


class Crash(NamedTuple):
    """After how many writes, with how much of the next one done, and how much lost of the file."""

    writes: int
    part: int
    lost: int


class WholeSource(ListSource):
    """A list of values that comes in chunks of four, and takes records back."""

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__([])
        self._left = self._records(values)

    async def next_chunk(self) -> list[Record]:
        await trio.lowlevel.checkpoint()
        chunk, self._left = self._left[:4], self._left[4:]
        return chunk

    def put_back(self, records: Sequence[Record]) -> None:
        self._left = [*records, *self._left]


def script(value: Any, attempt: int) -> Answer:
    """Some are slow and some are not ok."""
    n = value["n"]
    return Answer(delay=(n * 7 % 5) / 10, status=404 if n % 6 == 1 else 200)


class FileRun:
    """A run to a file that has something in it already.

    Attributes:
        sink: which appends to it.
        transports: what was asked of them.
    """

    def __init__(self, file: FakeFile, source: WholeSource, **settings: Any) -> None:
        apis = [Api(name, "http://api.test/") for name in NAMES]
        own = {"window": WINDOW, "limit": 3, **settings}
        self.transports = [ScriptedTransport(script) for _ in NAMES]
        self.sink = FileSink(file, len(file.content))
        watched = ResultSink(
            envelope_encoder(NAMES), self.sink, None, None, pytest.fail, on_terminal=False
        )
        plan = plan_run(apis, RunSettings(**own), {})
        self.run = local_pipeline(plan, self.transports, source, watched)

    @property
    def requests(self) -> int:
        return sum(len(transport.sent_at) for transport in self.transports)


async def go_on(file: FakeFile) -> FileRun:
    """Cut the file where it has to be, and run to the end of the input or of the process."""
    source = WholeSource(VALUES)
    kept = await find_what_is_kept(io.BytesIO(file.content), source, NAMES)
    file.content = file.content[: kept.size]
    made = FileRun(file, source)
    made.run.statistics.resume_after(kept)
    try:
        await made.run.run()
    except* Killed:
        pass
    return made


def in_virtual_time(*args: Any) -> Any:
    return trio.run(*args, clock=MockClock(autojump_threshold=0), strict_exception_groups=True)


def undisturbed() -> bytes:
    file = FakeFile()
    in_virtual_time(go_on, file)
    return file.content


WHOLE = undisturbed()

crashes = st.builds(Crash, st.integers(0, 40), st.integers(0, 300), st.integers(0, 120))


@given(st.lists(crashes, max_size=6), st.sampled_from([7, 60, 1 << 20]))
def test_killed_at_any_write_and_gone_on_with(plan: list[Crash], piece: int) -> None:
    """The file is the same to the byte, and each crash costs a window of requests at most."""
    content = b""
    requests = 0
    for crash in plan:
        file = FakeFile(content, piece=piece, writes=crash.writes, part=crash.part)
        made = in_virtual_time(go_on, file)
        requests += made.requests
        assert WHOLE.startswith(file.content)
        content = file.content[: max(0, len(file.content) - crash.lost)]
    file = FakeFile(content)
    made = in_virtual_time(go_on, file)
    requests += made.requests
    assert file.content == WHOLE
    lost = sum(-(-crash.lost // min(map(len, WHOLE.splitlines()))) for crash in plan)
    assert requests <= 2 * (len(VALUES) + len(plan) * WINDOW + lost)
    counted = made.run.statistics
    assert (counted.read, counted.written) == (len(VALUES), len(VALUES))
    assert (counted.ok, dict(counted.errors)) == (20, {"status": 4})


def test_cut_at_every_byte_of_the_last_two_lines() -> None:
    """A file that ends anywhere in its last two lines is resumed."""
    *_, last_but_one, last = WHOLE.splitlines(keepends=True)
    for lost in range(len(last_but_one) + len(last) + 1):
        file = FakeFile(WHOLE[: len(WHOLE) - lost])
        made = in_virtual_time(go_on, file)
        assert file.content == WHOLE
        assert made.run.statistics.resumed == 24 - (lost > 0) - (lost > len(last))


@given(st.integers(0, 30), st.integers(0, 200), st.booleans())
def test_full_disk_leaves_whole_lines(writes: int, part: int, is_stuck: bool) -> None:
    """A full disk ends the run with whole lines, and the file can be resumed."""
    full = OSError(errno.ENOSPC, "No space left on device")
    file = FakeFile(piece=50, writes=writes, part=part, failure=full, is_stuck=is_stuck)
    made = in_virtual_time(go_on, file)
    assert made.run.ending is Ending.OUTPUT_BROKEN
    assert str(made.run.error) == "cannot write the output: No space left on device"
    assert made.run.statistics.written == file.content.count(b"\n")
    assert WHOLE.startswith(file.content)
    assert is_stuck or file.content == b"" or file.content.endswith(b"\n")
    in_virtual_time(go_on, again := FakeFile(file.content))
    assert again.content == WHOLE


@pytest.mark.parametrize("stop", ["drain", "abort"])
@pytest.mark.parametrize("after", [0.05, 0.35, 0.65, 1.05])
def test_stopped_by_a_signal_and_gone_on_with(stop: str, after: float) -> None:
    """Records that a signal cut short are processed again."""

    async def stopped(file: FakeFile) -> None:
        made = FileRun(file, WholeSource(VALUES), drain_timeout=0.15)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run.run)
            await trio.sleep(after)
            getattr(made.run, stop)(Ending.SIGINT)

    file = FakeFile()
    in_virtual_time(stopped, file)
    assert b'"cancelled"' in file.content
    in_virtual_time(go_on, file)
    assert file.content == WHOLE


async def test_sink_takes_what_is_left_and_syncs(autojump_clock: MockClock) -> None:
    """The file is flushed to the disk at the end, and a failure is an error."""
    file = FakeFile(piece=3)
    made = FileRun(file, WholeSource(VALUES))
    await made.run.run()
    made.sink.finish()
    assert (file.content, file.syncs) == (WHOLE, 1)
    assert repr(made.sink) == f"<FileSink: {len(WHOLE)} bytes>"


def lines_for(values: Sequence[bytes]) -> bytes:
    """Lines of output, all ok, for records with these texts."""
    encode, outcome = envelope_encoder(NAMES), Outcome(True, 200, embed(b"1"), None, 1, 0.1)
    results = [Result(Record(i, v, v), NAMES, [outcome] * 2) for i, v in enumerate(values)]
    return b"".join(map(encode, results))


async def test_no_more_is_read_than_can_belong_to_the_output(tmp_path: Path) -> None:
    """Where another input has long lines, reading stops soon; memory is not for all of them."""
    path = tmp_path / "x"
    path.write_bytes(b"1\n" + b"\n".join(b'"%b"' % (b"x" * 100_000) for _ in range(50)))
    source = FileSource([str(path)], max_line=1 << 20, chunk_size=4, chunk_linger=0)
    output = io.BytesIO(lines_for([b"1"] * 50))
    with pytest.raises(OutputMismatch, match="line 2 does not match record 1"):
        await find_what_is_kept(output, source, NAMES)
    left = [record async for record in rest_of(source)]
    assert len(left) > 40
    source.close()


async def test_records_after_the_output_are_left_for_the_run(tmp_path: Path) -> None:
    """Wherever the output ends within a chunk, the run has all later records, in order."""
    path = tmp_path / "x"
    values = [b"%d" % n for n in range(10)]
    path.write_bytes(b"\n".join(values))
    for count in range(11):
        source = FileSource([str(path)], max_line=100, chunk_size=4, chunk_linger=0)
        kept = await find_what_is_kept(io.BytesIO(lines_for(values[:count])), source, NAMES)
        assert kept.records == count
        if 0 < count < 8:  # a run that is stopped at once has a line for what was read
            assert [r.index for r in source.read_ahead()][:1] == [count]
        assert [r.index async for r in rest_of(source)] == list(range(count, 10))
        source.close()


async def rest_of(source: FileSource) -> AsyncIterator[Record]:
    while chunk := await source.next_chunk():
        for record in chunk:
            yield record


@pytest.mark.parametrize("content", [b"x,x\n1,2\n", gzip.compress(b"x\n1\n")[:-4]])
async def test_an_input_that_breaks_off_matters_only_beyond_the_break(
    tmp_path: Path, content: bytes
) -> None:
    """Records before the break are enough for an output that ends there."""
    (tmp_path / "first").write_bytes(b"1\n2\n")
    (tmp_path / "x.csv").write_bytes(content)
    values = [b"1", b"2", *([b'{"x":"1"}'] if content.startswith(b"\x1f") else [])]
    for count in (len(values), len(values) + 1):
        paths = [str(tmp_path / name) for name in ("first", "x.csv")]
        source = FileSource(paths, max_line=100, chunk_size=4, chunk_linger=0)
        output = io.BytesIO(lines_for([*values, b"3"][:count]))
        if count == len(values):
            assert (await find_what_is_kept(output, source, NAMES)).records == count
            with pytest.raises(InputError, match=r"x\.csv"):
                await source.next_chunk()
        else:
            with pytest.raises(InputError, match=r"x\.csv"):
                await find_what_is_kept(output, source, NAMES)
        source.close()

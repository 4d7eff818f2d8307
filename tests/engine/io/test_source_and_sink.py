"""Real descriptors are read and written without waiting for the clock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from tmux_fanout.core.errors import InputError, OutputClosed, OutputError
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.engine.io.sink import LineSink
from tmux_fanout.engine.io.source import FileSource, can_wait_for


def source_of(paths: Sequence[str], *, chunk_size: int = 100, linger: float = 0.0) -> FileSource:
    return FileSource(paths, max_line=1000, chunk_size=chunk_size, chunk_linger=linger)


async def read_all(source: FileSource) -> list[list[bytes]]:
    chunks = []
    while chunk := await source.next_chunk():
        chunks.append([record.raw for record in chunk])
    source.close()
    return chunks


async def test_source_cuts_chunks_of_a_size(tmp_path: Path) -> None:
    """Records that are available together come in chunks of at most the chunk size."""
    path = tmp_path / "x"
    path.write_bytes(b"1\n2\n3\n4\n5")
    assert await read_all(source_of([str(path)], chunk_size=2)) == [
        [b"1", b"2"],
        [b"3", b"4"],
        [b"5"],
    ]


async def test_source_does_not_linger_unless_told(tmp_path: Path) -> None:
    """A chunk has the records that are available; the next waits for more."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    source = source_of([str(fifo)])
    keep = os.open(fifo, os.O_RDWR)
    os.write(keep, b"1\n2\n")
    assert len(await source.next_chunk()) == 2
    os.write(keep, b"3\n4")
    assert [record.raw for record in await source.next_chunk()] == [b"3"]
    os.close(keep)
    assert [record.raw for record in await source.next_chunk()] == [b"4"]
    assert await source.next_chunk() == []
    source.close()


async def test_source_lingers_for_a_fuller_chunk(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """With a linger, a chunk waits for more records until it is full or the time is up."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    source = source_of([str(fifo)], chunk_size=3, linger=5.0)
    sizes = []

    async def read() -> None:
        for _ in range(2):
            sizes.append(len(await source.next_chunk()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        os.write(keep, b"1\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        os.write(keep, b"2\n3\n4\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert sizes == [3]
        mock_clock.jump(5.0)
    assert sizes == [3, 1]
    os.close(keep)
    source.close()


async def test_source_lingers_for_so_many_bytes_only(tmp_path: Path) -> None:
    """Long lines do not pile up to a chunk's worth of records."""
    path = tmp_path / "x"
    path.write_bytes((b'"' + b"x" * 300_000 + b'"\n') * 20)
    source = FileSource([str(path)], "jsonl", max_line=1 << 20, chunk_size=100, chunk_linger=1000.0)
    sizes = []
    while chunk := await source.next_chunk():
        sizes.append(len(chunk))
    assert sum(sizes) == 20
    assert max(sizes) <= 4


async def test_source_cancelled_loses_nothing(tmp_path: Path) -> None:
    """What was read before a cancellation is in the next chunk or in `read_ahead`."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    source = source_of([str(fifo)], linger=1000.0)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.next_chunk)
            os.write(keep, b"1\n2")
            await trio.testing.wait_all_tasks_blocked(0.01)
            scope.cancel()
    assert [record.raw for record in source.read_ahead()] == [b"1"]
    os.close(keep)
    source.close()


async def test_source_tells_what_it_cannot_read(tmp_path: Path) -> None:
    """A missing file ends the input, once the records before it are out."""
    path = tmp_path / "x"
    path.write_bytes(b"1\n")
    source = source_of([str(path), str(tmp_path / "gone")])
    assert len(await source.next_chunk()) == 1
    with pytest.raises(InputError, match=r"cannot read .*gone: No such file"):
        await source.next_chunk()
    source.close()


async def test_source_estimates_how_much_a_small_file_holds(tmp_path: Path) -> None:
    """What was read ahead counts for the estimate, not what was handed out."""
    path = tmp_path / "x"
    path.write_bytes(b"1\n" * 500)
    source = source_of([str(path), str(path)], chunk_size=10)
    assert source.total() is None
    assert len(await source.next_chunk()) == 10
    assert source.total() == (1000, False)
    await read_all(source)
    assert source.total() == (1000, True)


async def test_source_knows_what_a_pipe_held_at_its_end(tmp_path: Path) -> None:
    """Before, that is unknown, though the size of the file before it is not."""
    path = tmp_path / "x"
    path.write_bytes(b"1\n2\n")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    source = source_of([str(path), str(fifo)])
    keep = os.open(fifo, os.O_RDWR)
    assert len(await source.next_chunk()) == 2
    os.write(keep, b"3\n")
    assert len(await source.next_chunk()) == 1
    assert source.total() is None
    os.close(keep)
    assert await source.next_chunk() == []
    assert source.total() == (3, True)


def results(count: int, size: int) -> list[Result]:
    return [Result(record_of(n, "x" * size), (), ()) for n in range(count)]


def lines_of(results: Sequence[Result]) -> bytes:
    return b"".join(result.source.json + b"\n" for result in results)


async def test_sink_writes_whole_lines_through_a_narrow_pipe() -> None:
    """More than a pipe holds goes through as its reader takes it."""
    reader, writer = os.pipe()
    sink = LineSink(writer)
    assert can_wait_for(writer)
    batch = results(100, 5000)
    received = bytearray()

    async def read() -> None:
        while len(received) < 100 * 5003:
            await trio.lowlevel.wait_readable(reader)
            received.extend(os.read(reader, 100_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await sink.write(lines_of(batch))
    assert bytes(received) == lines_of(batch)
    os.close(reader)
    os.close(writer)


async def test_sink_in_a_hurry_gives_up_on_a_stalled_reader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """`hurry` bounds the wait, even one that has already begun."""
    reader, writer = os.pipe()
    sink = LineSink(writer)

    async def hurry() -> None:
        await trio.sleep(100)
        sink.hurry(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hurry)
        with pytest.raises(OutputError, match="takes nothing"):
            await sink.write(lines_of(results(100, 5000)))
    assert trio.current_time() == 100.5
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("patience", [0.5, 1.0])
async def test_sink_in_a_hurry_waits_while_the_reader_takes_anything(
    autojump_clock: trio.testing.MockClock, patience: float
) -> None:
    """A pipe's worth every 0.7 s is enough for a patience of one second, however long it takes.

    Where it is not enough, no line is torn.
    """
    reader, writer = os.pipe()
    sink = LineSink(writer)
    batch = results(3000, 300)
    expected = lines_of(batch)
    received = bytearray()

    async def read() -> None:
        while len(received) < len(expected):
            await trio.sleep(0.7)
            received.extend(os.read(reader, 65536))

    sink.hurry(patience)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        try:
            await sink.write(lines_of(batch))
        except OutputError:
            nursery.cancel_scope.cancel()
    os.set_blocking(reader, False)
    with suppress(BlockingIOError):
        received.extend(os.read(reader, 1 << 20))
    assert expected.startswith(received)
    assert received.endswith(b"\n")
    assert (received == expected) is (patience == 1.0)
    os.close(reader)
    os.close(writer)


async def test_sink_in_a_hurry_sees_a_reader_who_takes_little(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A pipe is writable when a whole page was read; a reader may take longer than that for it."""
    reader, writer = os.pipe()
    sink = LineSink(writer)
    expected = lines_of(results(250, 300))
    received = bytearray()

    async def read() -> None:
        while len(received) < len(expected):
            await trio.sleep(0.7)
            received.extend(os.read(reader, 1000))

    sink.hurry(1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await sink.write(expected)
    assert received == expected
    os.close(reader)
    os.close(writer)


async def test_sink_tells_a_reader_who_has_gone_from_a_full_disk() -> None:
    """EPIPE means that the reader has gone; anything else is an output error."""
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(OutputClosed):
        await LineSink(writer).write(lines_of(results(1, 1)))
    os.close(writer)
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OutputError, match="No space left") as caught:
        await LineSink(full).write(lines_of(results(1, 1)))
    assert not isinstance(caught.value, OutputClosed)
    os.close(full)

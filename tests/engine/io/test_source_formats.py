"""Files of any format and compression, read as one stream of records."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
import trio

from tmux_fanout.core.errors import InputError
from tmux_fanout.core.records.parser import InputFormat
from tmux_fanout.engine.io import source as source_module
from tmux_fanout.engine.io.source import FileSource


def source_of(*paths: Path, form: InputFormat | None = None, chunk_size: int = 100) -> FileSource:
    names = [str(path) for path in paths]
    return FileSource(names, form, max_line=1000, chunk_size=chunk_size, chunk_linger=0.0)


async def values_of(source: FileSource) -> list[Any]:
    """Return the values of all records, or their errors."""
    values: list[Any] = []
    try:
        while chunk := await source.next_chunk():
            values += [r.error.message if r.error else json.loads(r.json) for r in chunk]
    except InputError as exc:
        values.append(exc)
    source.close()
    return values


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def test_source_reads_each_file_by_its_extension(tmp_path: Path) -> None:
    """Each file has its own format, its own header and its own compression."""
    files = [
        write(tmp_path / "a.csv", b"id,name\n1,x"),
        write(tmp_path / "b.tsv.bz2", bz2.compress(b"id\tsize\n2\ty\n3\n")),
        write(tmp_path / "c", gzip.compress(b'{"id": 4}\n')),
        write(tmp_path / "d.csv.gz", b"name\nnot compressed\n"),
        write(tmp_path / "e.ndjson.xz", lzma.compress(b"5")),
    ]
    assert await values_of(source_of(*files)) == [
        {"id": "1", "name": "x"},
        {"id": "2", "size": "y"},
        f"{files[1]} line 3: 1 field, but the header names 2",
        {"id": 4},
        {"name": "not compressed"},
        5,
    ]


async def test_source_takes_a_format_over_the_extension(tmp_path: Path) -> None:
    """An explicit format applies to all files."""
    files = [write(tmp_path / "a.csv", b"id\n1\n"), write(tmp_path / "b.txt", b"x\n")]
    assert await values_of(source_of(*files, form="lines")) == ["id", "1", "x"]
    assert await values_of(source_of(*files, form="csv")) == [{"id": "1"}]


async def test_source_gives_what_stands_before_a_cut(tmp_path: Path) -> None:
    """A file that is cut short gives its whole records, and then the error."""
    lines = b"".join(b'{"id": %d}\n' % n for n in range(1000))
    whole = gzip.compress(lines)
    cut = write(tmp_path / "cut.gz", whole[:-100])
    after = write(tmp_path / "after", b"1\n")
    *values, error = await values_of(source_of(cut, after))
    assert len(values) > 100
    assert values == [{"id": n} for n in range(len(values))]
    assert isinstance(error, InputError)
    assert str(error) == f"cannot read {cut}: the gzip data is cut short"


async def test_source_ends_with_a_header_that_cannot_be_used(tmp_path: Path) -> None:
    """Records of earlier files come out; then the error names file and line."""
    good = write(tmp_path / "good.csv", b"a\n1\n")
    bad = write(tmp_path / "bad.csv", b"\na,a\n1,2\n")
    value, error = await values_of(source_of(good, bad))
    assert value == {"a": "1"}
    assert (
        str(error) == f"cannot read {bad}: line 2: columns 1 and 2 are both called 'a'; rename one"
    )
    (alone,) = await values_of(source_of(bad))
    assert str(alone) == str(error)


async def test_source_hands_out_a_compressed_trickle(tmp_path: Path) -> None:
    """Flushed data arrives while the input stays open."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    source = source_of(fifo)
    keep = os.open(fifo, os.O_RDWR)
    maker = zlib.compressobj(wbits=31)
    for n in range(3):
        os.write(keep, maker.compress(b"%d\n" % n) + maker.flush(zlib.Z_SYNC_FLUSH))
        assert [record.raw for record in await source.next_chunk()] == [b"%d" % n]
    os.write(keep, maker.flush())
    os.close(keep)
    assert await source.next_chunk() == []
    source.close()


async def test_source_goes_on_with_the_first_byte_of_a_plain_trickle(tmp_path: Path) -> None:
    """No read waits for as many bytes as the longest magic number."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    source = source_of(fifo)
    keep = os.open(fifo, os.O_RDWR)
    for n, read in enumerate([b"1\n", b"2\n", b"\x1f\n"]):
        os.write(keep, read)
        assert [record.index for record in await source.next_chunk()] == [n]
    os.close(keep)
    source.close()


async def test_source_expands_no_further_than_it_is_asked(tmp_path: Path) -> None:
    """A bomb of short records is handed out piece by piece, and its size is known early on."""
    bomb = write(tmp_path / "bomb.gz", gzip.compress(b"1\n" * (4 << 20)))
    source = source_of(bomb, chunk_size=1000)
    assert source.total() is None
    count = largest = 0
    while chunk := await source.next_chunk():
        count += len(chunk)
        largest = max(largest, len(source.read_ahead()))
        if total := source.total():
            assert total.records == pytest.approx(4 << 20, rel=0.5)
    assert count == 4 << 20
    assert largest <= 64 << 10
    assert source.total() == (4 << 20, True)
    source.close()


async def test_source_cancelled_between_pieces_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled at each await in turn, the records that follow are the next ones."""
    monkeypatch.setattr(source_module, "READ_SIZE", 100)
    numbers = list(range(30_000))
    path = write(tmp_path / "x.gz", gzip.compress(b"".join(b"%d\n" % n for n in numbers)))
    source = source_of(path, chunk_size=50_000)
    values: list[int] = []
    for turn in range(10_000):
        with trio.CancelScope() as scope:
            if turn % 2:
                scope.cancel()
            chunk = await source.next_chunk()
            values += [int(record.raw) for record in chunk]
            if not chunk:
                break
    assert values == numbers
    source.close()

"""Records that are taken before the first chunk, by those who know what they should be."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tmux_fanout.core.errors import InputError
from tmux_fanout.core.records.parser import Record
from tmux_fanout.engine.io.source import FileSource

FILES = {
    "a.jsonl": b'\xef\xbb\xbf1\r\n\n{"x\n' + b"9" * 31 + b"\n4",
    "b.csv": b'x,y\n1,"a\n"\n2\n\n3,b\n',
    "c.jsonl.gz": gzip.compress(b"\n5\n6\n"),
}


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in FILES]


def source_of(paths: list[str]) -> FileSource:
    return FileSource(paths, max_line=30, chunk_size=4, chunk_linger=0)


async def rest_of(source: FileSource) -> list[Record]:
    records = []
    while chunk := await source.next_chunk():
        records += chunk
    source.close()
    return records


async def test_what_is_taken_is_not_looked_at(paths: list[str]) -> None:
    """Lines of JSON come as they are; others, and those that are too long, as records."""
    source = source_of(paths)
    first, second, third, fourth, *rows = await source.take_on_trust(6, 1000)
    assert (first, second, fourth) == (b"1", b'{"x', b"4")
    assert isinstance(third, Record)
    assert third.error
    assert [row.json for row in rows if isinstance(row, Record)] == [b'{"x":"1","y":"a\\n"}', b""]
    source.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), max_size=5))
async def test_what_is_left_is_as_ever(paths: list[str], counts: list[int]) -> None:
    """Whatever was taken: indexes, line numbers and errors of the others are the same."""
    whole = await rest_of(source_of(paths))
    assert len(whole) == 9
    source = source_of(paths)
    taken: list[Record | bytes] = []
    for count in counts:
        taken += await source.take_on_trust(count, 1000)
    assert [r if isinstance(r, bytes) else r.raw for r in taken] == [
        record.raw for record in whole[: sum(counts)]
    ]
    assert await rest_of(source) == whole[sum(counts) :]


async def test_what_was_read_and_not_taken_is_read_ahead(paths: list[str]) -> None:
    """A run that is stopped before its first chunk has a line for it."""
    source = source_of(paths)
    await source.take_on_trust(1, 1000)
    assert [record.index for record in source.read_ahead()] == [1, 2]
    source.close()


async def test_no_more_is_taken_than_can_be_right(tmp_path: Path) -> None:
    """Where another input has long lines, memory is not for all of them."""
    path = tmp_path / "x"
    lines = [b"1", *(b'"%b"' % (b"x" * 100_000) for _ in range(20))]
    path.write_bytes(b"\n".join(lines))
    source = FileSource([str(path)], max_line=1 << 20, chunk_size=4, chunk_linger=0)
    assert await source.take_on_trust(21, 150_000) == lines[:3]
    assert await source.take_on_trust(1, 0) == lines[3:4]
    assert len(await source.take_on_trust(17, 10_000_000)) == 17
    source.close()


@pytest.mark.parametrize("content", [b"x,x\n1,2\n", gzip.compress(b"x\n1\n")[:-4]])
async def test_an_input_that_breaks_off_gives_what_came_before(
    tmp_path: Path, content: bytes
) -> None:
    """And fails only when more is wanted than that."""
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    (tmp_path / "first").write_bytes(b"1\n2\n")
    good = 3 if content.startswith(b"\x1f") else 2
    source = source_of([str(tmp_path / "first"), str(path)])
    assert len(await source.take_on_trust(good, 1000)) == good
    with pytest.raises(InputError, match=r"x\.csv"):
        await source.take_on_trust(1, 1000)
    with pytest.raises(InputError, match=r"x\.csv"):
        await source.next_chunk()
    source.close()

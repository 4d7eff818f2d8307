"""The file of dead letters is one step ahead of the output, and is brought in line with it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError, ErrorInfo, OutputClosed, OutputError
from tmux_fanout.core.records.dialect import DialectOptions
from tmux_fanout.core.records.parser import RecordParser
from tmux_fanout.core.results.dead_letters import DeadLetters
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.engine.io.dead_letters import (
    DeadLetterFile,
    DeadLetterMismatch,
    Replay,
    check_headers,
)
from tmux_fanout.engine.io.output_file import OutputFile

RECORDS = RecordParser("csv", 100).parse([b"a", b"1", b'"2\n"', b"\xff", b"4\r", b"5"])
HEADER = b"a\n"
LETTERS = [b"1\n", b'"2\n"\n', b"\xff\n", b"4\r\r\n", b"5\n"]
FAILED = Outcome(False, error=ErrorInfo("status", "why"))


def results(*indexes: int) -> list[Result]:
    """Results that are not ok."""
    return [Result(RECORDS[n], ("x",), () if RECORDS[n].error else (FAILED,)) for n in indexes]


def dead_letters(path: Path, *, to_resume: bool = False) -> DeadLetterFile:
    return DeadLetterFile(
        OutputFile(str(path), to_resume=to_resume), DeadLetters("csv", lambda: b"a")
    )


async def test_letters_are_those_of_results_that_are_not_ok(tmp_path: Path) -> None:
    """Each letter is in the file once its results are put."""
    failed = dead_letters(tmp_path / "f")
    sink = failed.sink()
    seen = []
    for batch in (results(0), [Result(RECORDS[1], ("x",), (Outcome(True),))], results(2, 4)):
        await sink.put(batch)
        seen.append((tmp_path / "f").read_bytes())
    await sink.finish()
    first = HEADER + LETTERS[0]
    assert seen == [first, first, first + LETTERS[2] + LETTERS[4]]
    failed.file.close()


async def test_trouble_with_letters_names_their_file(tmp_path: Path) -> None:
    """Errors name the file, and a closed pipe is not mistaken for a closed output."""
    reader, writer = os.pipe()
    os.close(reader)
    failed = dead_letters(Path(f"/dev/fd/{writer}"))
    with pytest.raises(OutputError, match=rf"^cannot write /dev/fd/{writer}: Broken") as caught:
        await failed.sink().put(results(0))
    assert not isinstance(caught.value, OutputClosed)
    failed.file.close()
    os.close(writer)


async def test_hurry_gives_up_on_the_reader_of_letters(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A pipe that nobody reads does not delay a run that must end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, bytes(4096))
        except BlockingIOError:
            break
    failed = dead_letters(Path(f"/dev/fd/{writer}"))
    sink = failed.sink()
    sink.hurry(0.5)
    with pytest.raises(OutputError, match="takes nothing"):
        await sink.put(results(0))
    assert trio.current_time() == 0.5
    failed.file.close()
    os.close(reader)
    os.close(writer)


@given(
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.integers(0, 5),
    st.integers(0, 40),
    st.binary(max_size=4),
    st.integers(1, 5),
)
def test_replay_brings_the_file_in_line(
    not_ok: list[bool], kept: int, size: int, tail: bytes, step: int
) -> None:
    """Whatever is left of the file, it becomes the letters of the kept records, or is unchanged."""
    chosen = [n for n in range(5) if not_ok[n]]
    whole = b"".join([HEADER, *(LETTERS[n] for n in chosen)]) if chosen else b""
    wanted = [n for n in chosen if n < kept]
    expected = b"".join([HEADER, *(LETTERS[n] for n in wanted)]) if wanted else b""
    before = whole[:size] + tail
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(before)
        failed = dead_letters(path, to_resume=True)
        fits = before.startswith(expected) or expected.startswith(before)
        try:
            with failed.replay() as replay:
                for at in range(0, len(wanted), step):
                    replay.add([RECORDS[n] for n in wanted[at : at + step]])
            assert fits
            assert path.read_bytes() == expected
        except DeadLetterMismatch:
            assert not fits
            assert path.read_bytes() == before
        failed.file.close()


@pytest.mark.parametrize("before", [None, b"", b"a\n1\n", b"a\n1\n2"])
def test_replay_changes_nothing_where_the_run_cannot_go_on(
    tmp_path: Path, before: bytes | None
) -> None:
    """Letters that were appended are cut off again, and a new file is removed."""
    path = tmp_path / "f"
    if before is not None:
        path.write_bytes(before)
    failed = dead_letters(path, to_resume=True)

    def stop(replay: Replay) -> None:
        replay.add([RECORDS[0]])
        replay.add([])
        if before != b"a\n1\n2":
            replay.add([RECORDS[4]])
        raise RuntimeError

    with pytest.raises(RuntimeError), failed.replay() as replay:
        stop(replay)
    failed.file.close()
    assert (path.read_bytes() if path.exists() else None) == before


def test_replay_names_the_line(tmp_path: Path) -> None:
    """The error names the first line that differs, counting quoted line breaks."""
    path = tmp_path / "f"
    path.write_bytes(b'a\n1\n"2\n"\n9\n')
    failed = dead_letters(path, to_resume=True)
    with pytest.raises(DeadLetterMismatch, match=r"^line 5 does not"), failed.replay() as replay:
        replay.add([RECORDS[0], RECORDS[1], RECORDS[4]])
    failed.file.close()


async def test_columns_of_files_are_compared_by_what_they_mean(tmp_path: Path) -> None:
    """Columns are compared by meaning; empty and non-regular files do not matter."""
    texts = {"a": b'"id",x\n1,2\n', "b": b"\xef\xbb\xbfid,x\r\n", "empty": b"", "other": b"x,id\n"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    os.mkfifo(tmp_path / "fifo")
    fine = ["empty", "a", "b", "fifo"]
    await check([*(str(tmp_path / name) for name in fine), "-"])
    with pytest.raises(
        ConfigError, match=r"other and .*/a have different columns; give each file a run"
    ):
        await check([str(tmp_path / name) for name in ("a", "b", "other")])
    await check([str(tmp_path / name) for name in ("a", "other")], one_header=False)
    (tmp_path / "odd").write_bytes(b"a;b\n1;2\n")
    with pytest.raises(ConfigError, match=r"/odd: line 1: there is only one column, 'a;b'; use"):
        await check([str(tmp_path / "odd")], one_header=False)


async def check(paths: list[str], *, one_header: bool = True) -> None:
    await check_headers(paths, "csv", DialectOptions(), 100, one_header=one_header)

"""What --resume refuses, and leaves as it is."""

from __future__ import annotations

import fcntl
import gzip
import os
import signal
import termios
from array import array
from pathlib import Path

import pytest
from support.command import lines, start
from support.outputs import COUNT, Case


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b'{"id": 7}', b'{"id": 8}', "line 8 does not match record 7"),
        (b'{"id": 7}\n', b"", "line 8 does not match record 7"),
        (b'{"id": 7}\n', b'{"id": 7}\n1\n', "line 9 does not match record 8"),
        (b'{"id": 6\n', b'{"id": 6}\n', "line 7 does not match record 6"),
        (b'{"id": 13\n', b'{"id": 14\n', "line 14 does not match record 13"),
        (b'{"id": 29}', b'{"id":29}', "line 30 does not match record 29"),
    ],
)
def test_an_edited_input_is_refused(case: Case, old: bytes, new: bytes, named: str) -> None:
    """An edited input is refused; nothing is sent and nothing changes."""
    torn = case.first_lines(30) + b'{"index":30,"rec'
    case.out.write_bytes(torn)
    text = case.source.read_bytes()
    case.source.write_bytes(text.replace(old, new))
    status, said = case.resume()
    assert (status, said.count("\n")) == (3, 1)
    assert named in said
    assert case.out.read_bytes() == torn
    assert case.requests() == 0


@pytest.mark.parametrize("at", [30, 31, COUNT - 1])
def test_an_input_edited_after_that_is_none_the_worse(case: Case, at: int) -> None:
    """Input beyond the output may change."""
    case.out.write_bytes(case.first_lines(30) + b'{"index":30,"record":{"id": 30},"ok":')
    text = case.source.read_bytes()
    case.source.write_bytes(text.replace(b'{"id": %d}' % at, b'{"id": 1%d}' % at))
    assert case.resume()[0] == 1
    assert lines(case.out.read_bytes())[at]["record"] == {"id": 100 + at}


def test_another_input_or_a_shorter_one_is_refused(case: Case, tmp_path: Path) -> None:
    """A file that is no ordered output of this input is refused."""
    *first, last = case.source.read_bytes().split(b"\n\n")
    for other in ([*first[1:], first[0], last], first, [b"1"]):
        case.source.write_bytes(b"\n".join(other))
        assert case.resume()[0] == 3
        assert case.out.read_bytes() == case.whole


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"record":{"id": 21}', b'"record":{"id": 20}'),
        (b'"record":{"id": 21}', b'"record":{"id": "1}'),
        (b'{"index":21,', b'{"index":23,'),
        (b'{"index":21,', b'{"indey":21,'),
        (b'{"index":21,', b'\x00"index":21,'),
    ],
)
def test_a_damaged_line_is_refused(case: Case, old: bytes, new: bytes) -> None:
    """A damaged line in the middle is named, and the file is left unchanged."""
    damaged = case.whole.replace(old, new)
    case.out.write_bytes(damaged)
    status, said = case.resume()
    assert (status, said.count("\n"), "line 22" in said) == (3, 1, True)
    assert case.out.read_bytes() == damaged


def test_other_apis_are_refused(case: Case) -> None:
    """Other APIs are refused, since lines would have other results."""
    names = case.args[1], case.args[3]
    case.args[1] = names[0].replace("x=", "z=")
    status, said = case.resume()
    assert (status, "line 1 has the APIs x, y, not z, y" in said) == (3, True)
    case.args[1], case.args[3] = names[1], names[0]
    assert case.resume()[0] == 3
    assert case.out.read_bytes() == case.whole


def test_a_file_of_somebody_else_is_refused(case: Case) -> None:
    """Whether it has lines or none; a letter without a line break is no torn line."""
    for text in (b"Dear Sir,\n", b"Dear Sir", b'{"id": 1}\n', b"\n"):
        case.out.write_bytes(text)
        assert case.resume()[0] == 3
        assert case.out.read_bytes() == text


def test_an_input_that_breaks_off_changes_nothing(case: Case, tmp_path: Path) -> None:
    """An input that breaks off is refused, since the output cannot be checked."""
    whole = gzip.compress(case.source.read_bytes())
    packed = tmp_path / "in.gz"
    packed.write_bytes(whole[: len(whole) // 2])
    case.args[-1] = str(packed)
    status, said = case.resume()
    assert (status, said.count("\n")) == (1, 1)
    assert "cannot read" in said
    assert "nothing was changed" in said
    assert case.out.read_bytes() == case.whole


def _unread(pipe: int) -> int:
    """Bytes in a pipe."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_interrupted_while_it_checks_changes_nothing(case: Case) -> None:
    """The first signal ends the check, since nothing is in flight."""
    torn = case.first_lines(3) + b'{"index":3'
    case.out.write_bytes(torn)
    case.args[-1] = "-"
    with start(*case.args, "-o", str(case.out), "--resume") as process:
        assert process.stdin
        process.stdin.write(case.source.read_bytes()[:10])
        process.stdin.flush()
        while _unread(process.stdin.fileno()):  # until it has begun
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr
        assert process.stderr.read().strip() == b""
    assert case.out.read_bytes() == torn

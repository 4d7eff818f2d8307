"""Standard streams of every kind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import socket
import subprocess
import termios
from pathlib import Path

import pytest
from support.command import COMMAND, PATIENCE, Process, environment, lines, records, run, start
from support.loopback import Loopback


def test_input_may_be_a_file(server: Loopback, tmp_path: Path) -> None:
    """A regular file, which epoll refuses, is read from its current offset."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(500))
    with source.open("rb") as stdin:
        stdin.seek(len(records(100)))
        with start("-a", f"x={server.url()}", stdin=stdin) as process:
            out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert [line["record"]["id"] for line in lines(out)] == list(range(100, 500))


def test_input_may_be_a_socket(server: Loopback) -> None:
    """A socket is read like a pipe."""
    ours, theirs = socket.socketpair()
    with ours, start("-a", f"x={server.url()}", stdin=theirs) as process:
        theirs.close()
        ours.sendall(b"1\n2")
        ours.shutdown(socket.SHUT_WR)
        out, _ = process.communicate()
    assert [line["record"] for line in lines(out)] == [1, 2]


def test_input_may_be_dev_null() -> None:
    """Empty input produces no output and no messages."""
    with start("-a", "x=http://127.0.0.1:1/", stdin=subprocess.DEVNULL) as process:
        assert process.communicate() == (b"", b"")
    assert process.returncode == 0


def test_input_may_be_a_fifo(server: Loopback, tmp_path: Path) -> None:
    """The run waits for a named pipe's writer."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with start("-a", f"x={server.url()}", str(fifo)) as process:
        with fifo.open("wb") as writer:
            writer.write(b"1\n")
        out, _ = process.communicate()
    assert [line["record"] for line in lines(out)] == [1]


def test_input_may_be_a_terminal(server: Loopback) -> None:
    """Typed lines are records, and Ctrl-D ends the input."""
    ours, theirs = pty.openpty()
    with start("-a", f"x={server.url()}", stdin=theirs) as process:
        os.close(theirs)
        os.write(ours, b"1\n")
        assert process.stdout
        assert json.loads(process.stdout.readline())["record"] == 1
        os.write(ours, b"\x04")
        assert process.wait() == 0
    os.close(ours)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_stream_is_reported_at_the_start(server: Loopback, closed: int) -> None:
    """A stream closed at the start is one clear error, or none for standard error."""
    direction = "<" if closed == 0 else ">"
    command = " ".join([*COMMAND, "-a", f"x={server.url()}"])
    script = f"echo 1 | {command} {closed}{direction}&-"
    if closed == 0:
        script = f"{command} 0<&-"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, env=environment(), timeout=PATIENCE, check=False
    )
    if closed == 2:
        assert (done.returncode, len(lines(done.stdout)), done.stderr) == (0, 1, b"")
    else:
        name = b"input" if closed == 0 else b"output"
        assert done.returncode == 2
        assert done.stderr.startswith(b"tmux-fanout: standard " + name + b" is closed:")


def test_flags_of_inherited_streams_are_unchanged(server: Loopback) -> None:
    """O_NONBLOCK is never set on streams that other processes share."""
    stdin, feed = os.pipe()
    result, stdout = os.pipe()
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)]
    with start("-a", f"x={server.url()}", stdin=stdin, stdout=stdout) as process:
        os.write(feed, b"1\n")
        assert os.read(result, 65536).endswith(b"\n")
        assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)] == before
        os.close(feed)
        assert process.wait() == 0
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)] == before
    for fd in (stdin, result, stdout):
        os.close(fd)


def test_full_disk_ends_the_run_with_one_line(server: Loopback) -> None:
    """If the output cannot be written, the system's error is reported once."""
    with (
        open("/dev/full", "wb") as full,
        start("-a", f"x={server.url()}", "-q", stdout=full) as process,
    ):
        _, err = process.communicate(records(5))
    assert process.returncode == 1
    assert err == b"tmux-fanout: cannot write the output: No space left on device\n"


def _terminal(columns: int = 120) -> tuple[int, int]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, columns))
    return ours, theirs


def _read_all(fd: int) -> bytes:
    data = b""
    try:
        while piece := os.read(fd, 65536):
            data += piece
    except OSError:  # the other end was closed
        pass
    os.close(fd)
    return data


def test_control_characters_never_reach_a_terminal(server: Loopback) -> None:
    """On a terminal, control characters in records and bodies are written as JSON escapes."""
    record = '"\x7f\x9b2J\u202eevil"'.encode()
    ours, theirs = _terminal()
    with start("-a", f"x={server.url()}", "-q", stdout=theirs) as process:
        os.close(theirs)
        assert process.stdin
        process.stdin.write(record + b"\n")
        process.stdin.close()
        out = _read_all(ours)
        assert process.wait() == 0
    assert json.loads(out)["record"] == json.loads(record)
    assert out.isascii()
    assert out.strip().decode().isprintable()


def test_progress_is_drawn_on_a_terminal(server: Loopback, tmp_path: Path) -> None:
    """A terminal as standard error shows live progress, then the table; the output stays clean."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(100))
    server.gate.clear()
    ours, theirs = _terminal()
    env = {**environment(), "TERM": "xterm-256color"}
    with Process(
        [*COMMAND, "-a", f"x={server.url()}", "-l", "4", str(source)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=env,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"in flight" not in shown or b"100 records read" not in shown:
            shown += os.read(ours, 65536)
        server.gate.set()
        assert process.stdout
        assert len(lines(process.stdout.read())) == 100
        shown += _read_all(ours)
        assert process.wait() == 0
    assert b"% of 100" in shown
    assert b"100 records: 100 ok, 0 not ok" in shown


def test_progress_and_results_share_a_terminal(server: Loopback, tmp_path: Path) -> None:
    """If both streams are one terminal, the display yields and no result line is broken."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(b'{"text": "%b"}\n' % (b"x" * 3000) * 60)
    ours, theirs = _terminal()
    env = {**environment(), "TERM": "xterm-256color"}
    command = [*COMMAND, "-a", f"x={server.url()}", "-l", "1", str(source)]
    with Process(command, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = _read_all(ours)
        assert process.wait() == 0
    whole = re.findall(rb'\{"index":(\d+),"record":\{"text": "x{3000}"\},[^\n\x1b]*\}\r?\n', shown)
    assert [int(index) for index in whole] == list(range(60))


def test_no_progress_without_a_terminal(server: Loopback) -> None:
    """If standard error is no terminal, it contains no escape sequences."""
    done = run("-a", f"x={server.url()}", "--summary=table", stdin=records(3))
    assert done.returncode == 0
    assert b"\x1b" not in done.stderr


def test_closed_standard_error_does_not_stop_the_run(server: Loopback) -> None:
    """Results are written even if nobody reads standard error."""
    unread, stderr = os.pipe()
    os.close(unread)
    with start("-a", f"x={server.url('/404')}", "-v", stderr=stderr) as process:
        os.close(stderr)
        out, _ = process.communicate(records(3))
    assert process.returncode == 1
    assert len(lines(out)) == 3

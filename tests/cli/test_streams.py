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
from support.command import COMMAND, environment, lines, records, run, start
from support.loopback import Loopback


def test_input_may_be_a_file(server: Loopback, tmp_path: Path) -> None:
    """Regular files, which epoll refuses, are read from where their offset stands."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(500))
    with source.open("rb") as stdin:
        stdin.seek(len(records(100)))
        with start("-a", f"x={server.url()}", stdin=stdin) as process:
            out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, b"")
    assert [line["record"]["id"] for line in lines(out)] == list(range(100, 500))


def test_input_may_be_a_socket(server: Loopback) -> None:
    """A socket is waited for like a pipe."""
    ours, theirs = socket.socketpair()
    with ours, start("-a", f"x={server.url()}", stdin=theirs) as process:
        theirs.close()
        ours.sendall(b"1\n2")
        ours.shutdown(socket.SHUT_WR)
        out, _ = process.communicate(timeout=20)
    assert [line["record"] for line in lines(out)] == [1, 2]


def test_input_may_be_dev_null() -> None:
    """Nothing comes out of nothing."""
    with start("-a", "x=http://127.0.0.1:1/", stdin=subprocess.DEVNULL) as process:
        assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 0


def test_input_may_be_a_fifo(server: Loopback, tmp_path: Path) -> None:
    """A named pipe whose writer comes later is waited for."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with start("-a", f"x={server.url()}", str(fifo)) as process:
        with fifo.open("wb") as writer:
            writer.write(b"1\n")
        out, _ = process.communicate(timeout=20)
    assert [line["record"] for line in lines(out)] == [1]


def test_input_may_be_a_terminal(server: Loopback) -> None:
    """Typed lines are records; Ctrl-D ends them."""
    ours, theirs = pty.openpty()
    with start("-a", f"x={server.url()}", stdin=theirs) as process:
        os.close(theirs)
        os.write(ours, b"1\n")
        assert process.stdout
        assert json.loads(process.stdout.readline())["record"] == 1
        os.write(ours, b"\x04")
        assert process.wait(20) == 0
    os.close(ours)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_stream_is_no_trap(server: Loopback, closed: int) -> None:
    """A stream that is closed at the start: one clear error, or none for standard error."""
    direction = "<" if closed == 0 else ">"
    command = " ".join([*COMMAND, "-a", f"x={server.url()}"])
    script = f"echo 1 | {command} {closed}{direction}&-"
    if closed == 0:
        script = f"{command} 0<&-"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, env=environment(), timeout=20, check=False
    )
    if closed == 2:
        assert (done.returncode, len(lines(done.stdout)), done.stderr) == (0, 1, b"")
    else:
        name = b"input" if closed == 0 else b"output"
        assert done.returncode == 2
        assert done.stderr.startswith(b"tmux-fanout: standard " + name + b" is closed:")


def test_flags_of_inherited_streams_stay(server: Loopback) -> None:
    """O_NONBLOCK is never set on what other processes share."""
    stdin, feed = os.pipe()
    result, stdout = os.pipe()
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)]
    with start("-a", f"x={server.url()}", stdin=stdin, stdout=stdout) as process:
        os.write(feed, b"1\n")
        assert os.read(result, 65536).endswith(b"\n")
        assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)] == before
        os.close(feed)
        assert process.wait(20) == 0
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (stdin, stdout)] == before
    for fd in (stdin, result, stdout):
        os.close(fd)


def test_full_disk_ends_the_run_with_one_line(server: Loopback) -> None:
    """Where the output can take no more, the system's words are told, once."""
    with (
        open("/dev/full", "wb") as full,
        start("-a", f"x={server.url()}", "-q", stdout=full) as process,
    ):
        _, err = process.communicate(records(5), timeout=20)
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
    except OSError:  # the other side has closed
        pass
    os.close(fd)
    return data


def test_nothing_steers_a_terminal(server: Loopback) -> None:
    """On a terminal, controls in records and bodies are escapes of the same value."""
    record = '"\x7f\x9b2J\u202eevil"'.encode()
    ours, theirs = _terminal()
    with start("-a", f"x={server.url()}", "-q", stdout=theirs) as process:
        os.close(theirs)
        assert process.stdin
        process.stdin.write(record + b"\n")
        process.stdin.close()
        out = _read_all(ours)
        assert process.wait(20) == 0
    assert json.loads(out)["record"] == json.loads(record)
    assert out.isascii()
    assert out.strip().decode().isprintable()


def test_progress_is_drawn_on_a_terminal(server: Loopback, tmp_path: Path) -> None:
    """Standard error on a terminal shows live progress, then the table; output stays clean."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(100))
    server.gate.clear()
    ours, theirs = _terminal()
    env = {**environment(), "TERM": "xterm-256color"}
    with subprocess.Popen(
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
        assert process.wait(20) == 0
    assert b"of about 100" in shown
    assert b"100 records: 100 ok, 0 not ok" in shown


def test_progress_and_results_share_a_terminal(server: Loopback, tmp_path: Path) -> None:
    """Where both go to one terminal, the display gives way, and no result line is cut."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(b'{"text": "%b"}\n' % (b"x" * 3000) * 60)
    ours, theirs = _terminal()
    env = {**environment(), "TERM": "xterm-256color"}
    command = [*COMMAND, "-a", f"x={server.url()}", "-l", "1", str(source)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = _read_all(ours)
        assert process.wait(20) == 0
    whole = re.findall(rb'\{"index":(\d+),"record":\{"text": "x{3000}"\},[^\n\x1b]*\}\r?\n', shown)
    assert [int(index) for index in whole] == list(range(60))


def test_no_progress_without_a_terminal(server: Loopback) -> None:
    """Into a pipe or a file, standard error has no escape sequences."""
    done = run("-a", f"x={server.url()}", "--summary=table", stdin=records(3))
    assert done.returncode == 0
    assert b"\x1b" not in done.stderr


def test_broken_pipe_of_stderr_is_no_reason_to_stop(server: Loopback) -> None:
    """Nobody reads standard error: the results come all the same."""
    unread, stderr = os.pipe()
    os.close(unread)
    with start("-a", f"x={server.url('/404')}", "-v", stderr=stderr) as process:
        os.close(stderr)
        out, _ = process.communicate(records(3), timeout=20)
    assert process.returncode == 1
    assert len(lines(out)) == 3

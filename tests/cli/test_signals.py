"""SIGINT, SIGTERM and SIGHUP: draining, stopping, and the exit status."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.command import COMMAND, Process, environment, lines, records, start
from support.loopback import Loopback


@contextmanager
def held_run(server: Loopback, tmp_path: Path, count: int, *args: str) -> Iterator[Process]:
    """Start a run, and wait until its calls are pending at a server that withholds responses."""
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(count))
    with start("-a", f"x={server.url()}", "-l", "4", *args, str(source)) as process:
        try:
            server.await_requests(4)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_first_signal_drains(
    server: Loopback, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """The first signal lets admitted records finish; the exit status names the signal."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup")
    with held_run(server, tmp_path, 20, "-v") as process:
        process.send_signal(number)
        server.gate.set()
        out, err = process.communicate()
    assert process.returncode == status
    assert [line["ok"] for line in lines(out)] == [True] * 20
    assert b"20 records: 20 ok" in err
    notice = (
        f"tmux-fanout: {number.name}: reading has stopped; records in progress have 30s to finish; "
        "a second signal cancels them\n"
    )
    assert err.count(notice.encode()) == 1


def test_second_signal_stops_with_every_line(server: Loopback, tmp_path: Path) -> None:
    """The second signal cancels all calls at once, and every record read still gets a line."""
    with held_run(server, tmp_path, 2000, "--window", "50") as process:
        process.send_signal(signal.SIGINT)
        # Two different signals, as the kernel merges pending signals of the same kind.
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode in (130, 143)
    out_lines = lines(out)
    assert [line["record"]["id"] for line in out_lines] == list(range(2000))
    errors = [line["results"]["x"]["error"] for line in out_lines]
    assert {error["kind"] for error in errors} == {"cancelled"}
    assert [error.get("ambiguous", False) for error in errors] == [True] * 4 + [False] * 1996


def test_drain_timeout_ends_the_draining(server: Loopback, tmp_path: Path) -> None:
    """Calls that are unanswered when the drain timeout passes are cancelled."""
    with held_run(server, tmp_path, 8, "--drain-timeout", "200ms") as process:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode == 143
    assert len(lines(out)) == 8


def test_signal_while_the_reader_is_stalled(server: Loopback, tmp_path: Path) -> None:
    """A stalled reader cannot keep a stopped run alive; unwritten lines are reported."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(b'{"text": "%b"}\n' % (b"x" * 2000) * 200)
    with start("-a", f"x={server.url()}", str(source)) as process:
        server.await_requests(60)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait() in (130, 143)
        assert process.stderr
        assert b"not written" in process.stderr.read()


def test_sigint_drains_even_if_it_was_ignored_at_the_start(
    server: Loopback, tmp_path: Path
) -> None:
    """`kill -INT` drains a shell script's background job, which starts with SIGINT ignored."""
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(4))
    command = " ".join([*COMMAND, "-a", f"x={server.url()}", str(source)])
    script = f"{command} & echo $! >&2; wait $!"
    with Process(
        ["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as shell:
        assert shell.stderr
        pid = int(shell.stderr.readline())
        server.await_requests(4)
        os.kill(pid, signal.SIGINT)
        server.gate.set()
        out, _ = shell.communicate()
        assert shell.returncode == 130
        assert len(lines(out)) == 4


def test_stop_and_continue_change_nothing(server: Loopback, tmp_path: Path) -> None:
    """A suspended run continues as if nothing had happened."""
    with held_run(server, tmp_path, 20) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        server.gate.set()
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert len(lines(out)) == 20

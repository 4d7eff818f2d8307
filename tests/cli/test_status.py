"""SIGUSR1 shows how a run stands, on standard error."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO

import pytest
from support.command import Process, lines, records, start
from support.loopback import Loopback
from support.processes import children_of

from tmux_fanout.engine.run.signals import STATUS_SIGNALS

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def read_until(stream: IO[bytes], *wanted: bytes) -> bytes:
    """Read lines until each of these was in one."""
    seen = b""
    while not all(each in seen for each in wanted):
        line = stream.readline()
        assert line, seen
        seen += line
    return seen


def ask(process: Process, *wanted: bytes) -> bytes:
    """Ask how a run stands until the page has all of this: its head may still be on the way."""
    assert process.stderr
    for _ in range(100):
        process.send_signal(signal.SIGUSR1)
        page = read_until(process.stderr, b"next in the output", b"tmux-fanout: after")
        page = page[page.index(b"tmux-fanout: after") :]
        if all(each in page for each in wanted):
            return page
    pytest.fail(page.decode())


@pytest.mark.parametrize("number", STATUS_SIGNALS, ids=str)
@WORKERS
def test_page_shows_what_is_under_way(
    server: Loopback, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    """A page has what is in flight, the queues, the window, the memory and the head of the line."""
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(20))
    args = ("-a", f"x={server.url()}", "-l", "4", "--workers", workers, "-q", str(source))
    with start(*args) as process:
        server.await_requests(4)
        row = b"4      4      16"
        page = ask(process, b"next in the output: record 0", row)
        assert b"0 records written" in page
        assert b"20 read" in page
        assert b"window: 20 of " in page
        assert b"memory: " in page
        assert (b"of 2 workers" in page) == (workers == "2")
        assert (b"x: attempt 1 is under way" if workers == "1" else b"has it") in page
        process.send_signal(number)
        server.gate.set()
        out, _ = process.communicate()
    assert process.returncode == 0
    assert [line["ok"] for line in lines(out)] == [True] * 20


def test_signal_to_all_processes_of_a_run_ends_none(server: Loopback, tmp_path: Path) -> None:
    """`pkill -USR1 tmux-fanout` shows one page: workers are not ended by it."""
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(20))
    with start(
        "-a", f"x={server.url()}", "-l", "4", "--workers", "2", str(source), start_new_session=True
    ) as process:
        server.await_requests(4)
        workers = children_of(process.pid)
        os.killpg(process.pid, signal.SIGUSR1)
        assert process.stderr
        read_until(process.stderr, b"next in the output: record 0")
        assert children_of(process.pid) == workers
        server.gate.set()
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert len(lines(out)) == 20


def test_signal_before_there_is_a_run_is_answered(tmp_path: Path) -> None:
    """While the run is prepared (here it waits for a named pipe), the answer is that."""
    pipe = tmp_path / "failed"
    os.mkfifo(pipe)
    with start("-a", "x=http://127.0.0.1:9", "--config", str(pipe)) as process:
        for_writing = os.open(pipe, os.O_WRONLY)  # once it is opened, the handler is there
        process.send_signal(signal.SIGUSR1)
        assert process.stderr
        read_until(process.stderr, b"no call is made now")
        os.close(for_writing)
        process.communicate()
    assert process.returncode == 0

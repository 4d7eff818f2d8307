"""How a run with `--workers` ends: signals, time limits, closed outputs, killed processes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.command import PATIENCE, Process, lines, records, run, start
from support.loopback import Loopback
from support.processes import children_of, outlived, state_of

LIMIT = 6


@contextmanager
def held_run(
    server: Loopback, tmp_path: Path, count: int, *args: str, workers: int = 2, **more: Any
) -> Iterator[Process]:
    """Start a run, and wait until its calls are pending at a server that withholds responses.

    Its children must end before the block does.
    """
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(count))
    usual = ("-a", f"x={server.url()}", "-l", str(LIMIT), "--workers", str(workers))
    with start(*usual, *args, str(source), **more) as process:
        try:
            server.await_requests(min(count, LIMIT))
            children = children_of(process.pid)
            assert len(children) == workers
            with outlived(children):
                yield process
        finally:
            process.kill()


def hold_first(server: Loopback, size: int) -> threading.Event:
    """Answer with `size` bytes at once, except for record 0, which waits for the event."""
    slow, answer = threading.Event(), b'"%b"' % (b"x" * size)

    def reply(body: bytes) -> tuple[int, bytes]:
        if json.loads(body)["id"] == 0:
            slow.wait(PATIENCE)
        return 200, answer

    server.replies["/"] = reply
    return slow


def stop_now(process: Process) -> tuple[bytes, bytes]:
    """Send two signals, and return standard output and standard error."""
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    streams = process.communicate()
    assert process.returncode in (130, 143)
    return streams


def assert_cancelled(output: bytes, count: int) -> None:
    """Check that all records were cancelled, and that only those sent are ambiguous."""
    assert ids(output) == list(range(count))
    found = errors(output)
    assert {error["kind"] for error in found} == {"cancelled"}
    assert sum("ambiguous" in error for error in found) == LIMIT


def kill(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def ids(output: bytes) -> list[int]:
    return [line["record"]["id"] for line in lines(output)]


def errors(output: bytes) -> list[Any]:
    return [line["results"]["x"].get("error") for line in lines(output)]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_drains(
    server: Loopback, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """A signal to the whole process group drains the run: children obey their parent only."""
    with held_run(server, tmp_path, 20, "-v", start_new_session=True) as process:
        os.killpg(process.pid, number)
        server.gate.set()
        out, err = process.communicate()
    assert process.returncode == status
    assert [line["ok"] for line in lines(out)] == [True] * 20
    assert b"20 records: 20 ok" in err
    assert b"died" not in err


def test_second_signal_stops_with_every_line(server: Loopback, tmp_path: Path) -> None:
    """The second signal cancels every call at once; calls already sent are ambiguous."""
    args = ("--window", "50", "--summary", "json")
    with held_run(server, tmp_path, 2000, *args) as process:
        out, err = stop_now(process)
    assert_cancelled(out, 2000)
    summary = json.loads(err.splitlines()[-1])
    assert summary["apis"]["x"]["errors"] == {"cancelled": 2000}


def test_unresponsive_child_is_given_up(server: Loopback, tmp_path: Path) -> None:
    """A stopped child does not delay the end for long; what it sent is ambiguous."""
    with held_run(server, tmp_path, 60) as process:
        os.kill(children_of(process.pid)[0], signal.SIGSTOP)
        out, _ = stop_now(process)
    assert_cancelled(out, 60)


def test_buffered_long_lines_are_written_in_order(server: Loopback, tmp_path: Path) -> None:
    """More buffered output than one write takes is written completely and in order."""
    slow = hold_first(server, 50_000)
    with held_run(server, tmp_path, 80) as process:
        server.gate.set()
        server.await_requests(80 - LIMIT)
        slow.set()
        out, _ = process.communicate()
    assert process.returncode == 0
    assert ids(out) == list(range(80))
    assert {len(line["results"]["x"]["body"]) for line in lines(out)} == {50_000}


def test_deadline_stops_all(server: Loopback, tmp_path: Path) -> None:
    """The deadline stops the run whether its children are calling or not yet ready."""
    server.gate.clear()
    for deadline in ("50ms", "2s"):
        args = ("-a", f"x={server.url()}", "--workers", "2", "--deadline", deadline)
        done = run(*args, "--window", "20", stdin=records(100))
        assert done.returncode == 124
        assert ids(done.stdout) == list(range(100))
        assert {error["kind"] for error in errors(done.stdout)} == {"deadline"}
        last = errors(done.stdout)[-1]["message"]
        assert last == f"the run's deadline of {deadline} passed; not sent"


def test_failures_of_all_children_are_counted(server: Loopback, tmp_path: Path) -> None:
    """--max-failures counts the failures of all children and gives up the run."""
    args = ("-a", f"y={server.url('/404')}", "--max-failures", "30", "--window", "100")
    with held_run(server, tmp_path, 3000, *args) as process:
        server.gate.set()
        out, err = process.communicate()
    assert process.returncode == 4
    assert ids(out) == list(range(3000))
    last = lines(out)[-1]["results"]["y"]["error"]
    assert last == {
        "kind": "cancelled",
        "message": "the run was given up: too many records are not ok; not sent",
    }
    assert b"ended by: given up" in err
    assert len(server.bodies) < 3000


def test_closed_output_ends_the_run_silently(server: Loopback, tmp_path: Path) -> None:
    """After `| head -n 1` the run exits with 141 and prints nothing."""
    with held_run(server, tmp_path, 3000) as process:
        assert process.stdout
        server.gate.set()
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr
        assert process.stderr.read() == b""


def test_children_do_not_outlive_their_parent(server: Loopback, tmp_path: Path) -> None:
    """Children end when their pipes close, even if SIGKILL ends their parent."""
    with held_run(server, tmp_path, 100) as process:
        process.kill()
        process.wait()


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("order", [[], ["--unordered"]], ids=str)
def test_child_may_die_while_the_window_is_full(
    server: Loopback, tmp_path: Path, victim: int, order: list[str]
) -> None:
    """A child may die while the window is full and only the head of the line is read."""
    slow = hold_first(server, 20_000)
    args = ("-X", "PUT", "-v", "--window-bytes", "128KiB", *order)
    with held_run(server, tmp_path, 200, *args) as process:
        server.gate.set()
        while server.arrived.acquire(timeout=0.3):
            pass  # until the window is full, or all but the first are answered
        kill([children_of(process.pid)[victim]])
        slow.set()
        out, _ = process.communicate()
    assert process.returncode == 0
    assert sorted(ids(out)) == list(range(200))
    assert order or ids(out) == list(range(200))


def test_dead_child_is_replaced_and_its_records_are_dealt_again(
    server: Loopback, tmp_path: Path
) -> None:
    """If all calls may be repeated, no record of a dead child is lost and the order is kept."""
    with held_run(server, tmp_path, 500, "-X", "GET", "--chunk-size", "10") as process:
        descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))
        victim = children_of(process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        server.await_requests(LIMIT // 2)  # those of its replacement
        children = children_of(process.pid)
        assert victim not in children
        assert len(children) == 2
        assert "Z" not in map(state_of, children)
        assert len(os.listdir(f"/proc/{process.pid}/fd")) == descriptors
        server.gate.set()
        out, err = process.communicate()
    assert process.returncode == 0
    assert ids(out) == list(range(500))
    [message] = err.splitlines()
    pattern = (
        rb"tmux-fanout: worker process 0 died \(signal 9\); of its records \d+ are dealt again,"
    )
    assert re.fullmatch(pattern + b" 0 cancelled", message)
    assert len(server.paths) <= 500 + LIMIT // 2


def test_what_a_dead_child_may_have_sent_is_not_sent_again(
    server: Loopback, tmp_path: Path
) -> None:
    """A POST that a dead child may have sent is reported; its other records are dealt again."""
    with held_run(server, tmp_path, 500, "--chunk-size", "10") as process:
        os.kill(children_of(process.pid)[1], signal.SIGKILL)
        server.await_requests(LIMIT // 2)
        server.gate.set()
        out, _ = process.communicate()
    assert process.returncode == 1
    assert ids(out) == list(range(500))
    failed = [error for error in errors(out) if error]
    assert len(failed) == LIMIT // 2
    message = "the worker process that had it died; it may have been sent"
    assert failed[0] == {"kind": "cancelled", "message": message, "ambiguous": True}
    assert len(server.bodies) == len(set(server.bodies)) == 500


def test_a_record_with_which_three_children_died_is_given_up(
    server: Loopback, tmp_path: Path
) -> None:
    """It is dealt again until then, as there is no other that may be to blame."""
    with held_run(server, tmp_path, 1, "-X", "GET") as process:
        while process.poll() is None:
            kill(children_of(process.pid))
            while not server.arrived.acquire(timeout=0.1) and process.poll() is None:
                pass
        out, err = process.communicate()
    assert process.returncode == 1
    [error] = errors(out)
    assert (error["kind"], "ambiguous" in error) == ("cancelled", False)
    assert error["message"].startswith("the worker process that had it died")
    assert err.count(b" 1 are dealt again, 0 cancelled") == 2


def test_run_survives_children_killed_repeatedly(server: Loopback, tmp_path: Path) -> None:
    """The run completes although every replacement of either child is killed, six times over."""
    with held_run(server, tmp_path, 100, "-X", "GET", "--chunk-size", "10") as process:
        killed: set[int] = set()
        while len(killed) < 12:
            for child in set(children_of(process.pid)) - killed:
                kill([child])
                killed.add(child)
        server.gate.set()
        out, err = process.communicate()
    assert ids(out) == list(range(100))
    assert process.returncode in (0, 1)
    kinds = {error["kind"] for error in errors(out) if error}
    assert kinds <= {"cancelled"}  # records with which three children died or more
    assert b"not started again" not in err


def test_stopped_child_does_not_hold_up_a_deadline(server: Loopback, tmp_path: Path) -> None:
    """At the deadline a stopped child is killed, and the others still report their outcomes."""
    with held_run(server, tmp_path, 60, "--deadline", "5s") as process:
        os.kill(children_of(process.pid)[0], signal.SIGSTOP)
        out, err = process.communicate()
    assert process.returncode == 124
    assert ids(out) == list(range(60))
    assert {error["kind"] for error in errors(out)} == {"cancelled", "deadline"}
    assert b"worker process 0 is not responding and is killed" in err


def test_unavailable_api_is_reported_once(tmp_path: Path, closed_port: int) -> None:
    """An unavailable API is reported once, although each child detects it and gives up."""
    config = tmp_path / "c.toml"
    breaker = 'breaker = { failures = 1, open = "100ms", wait = "2s" }'
    config.write_text(f'[api.x]\nurl = "http://127.0.0.1:{closed_port}/"\n{breaker}\n')
    done = run("-c", str(config), "--workers", "3", stdin=records(60))
    assert done.returncode == 4
    assert ids(done.stdout) == list(range(60))
    assert {error["kind"] for error in errors(done.stdout)} == {"cancelled"}
    assert done.stderr.count(b"x is not available (") == 1


def test_run_ends_when_every_child_dies(tmp_path: Path, server: Loopback) -> None:
    """If forks and their replacements all die, every record still gets a line."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "os.register_at_fork(after_in_child=lambda: os._exit(3))\n"
        "if 'tmux_fanout.engine.workers.child' in sys.orig_argv: os._exit(3)\n"
    )
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(50))
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": path}
    with start("-a", f"x={server.url()}", "--workers", "2", str(source), env=env) as process:
        out, err = process.communicate()
    assert process.returncode == 1
    assert ids(out) == list(range(50))
    assert {error["message"] for error in errors(out)} == {
        "stopped by death of all worker processes; not sent"
    }
    assert b"worker process 1 died (exit status 3)" in err
    assert b"ended by: death of all worker processes" in err
    assert not server.bodies

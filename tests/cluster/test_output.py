"""A run on a cluster writes what a run on one machine writes, and ends as it does."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.command import COMMAND, PATIENCE, Process, environment, lines, records, run, start
from support.dask import Dask, await_end
from support.loopback import Loopback
from support.outputs import without_times


def fussy(body: bytes) -> tuple[int, bytes]:
    """Refuse records whose id ends in 7."""
    return (404 if b"7}" in body or b'7"' in body else 200), b'{"size":%d}' % len(body)


@pytest.fixture
def api(server: Loopback) -> list[str]:
    server.replies["/"] = fussy
    return ["-a", f"x={server.url()}", "-l", "9", "--chunk-size", "20"]


JSONL = records(250) + b"not JSON\n\n" + records(250, 250)
CSV = b"id,name\n" + b"".join(b'%d,"n %d"\n' % (i, i) for i in range(300)) + b"odd\n"


@pytest.mark.parametrize(
    ("name", "given", "more"),
    [
        (None, JSONL, ("-e", "envelope", "--failed")),
        (None, JSONL, ("-e", "merge")),
        (None, CSV, ("-i", "csv", "-e", "envelope")),
        (None, CSV, ("-i", "csv", "-e", "merge", "--failed")),
        ("in.jsonl", JSONL, ("-e", "envelope")),
        ("in.jsonl", JSONL, ("-e", "merge", "--failed")),
        ("in.csv", CSV, ("-e", "envelope", "--failed")),
        ("in.csv", CSV, ("-e", "merge")),
        ("in.jsonl", JSONL, ("-e", "merge", "--unordered", "--failed")),
        ("in.csv", CSV, ("-e", "csv", "--columns", "id=record.id,size=results.x.body.size")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_output_is_that_of_one_machine(
    three: Dask, api: list[str], tmp_path: Path, name: str | None, given: bytes, more: tuple[str]
) -> None:
    """Lines, dead letters and exit status are the same, and so is the line of the summary."""
    args, outputs = [*api, *more], list[Any]()
    if name:
        (tmp_path / name).write_bytes(given)
        args.append(str(tmp_path / name))
    for place in ((), ("--workers", "2"), three.option):
        letters = tmp_path / f"letters{len(outputs)}"
        at = [args.index("--failed") + 1] if "--failed" in args else []
        full = [*args[: at[0]], str(letters), *args[at[0] :]] if at else args
        done = run(*full, *place, stdin=b"" if name else given)
        written = without_times(done.stdout).splitlines()
        failed = letters.read_bytes().splitlines() if at else []
        if "--unordered" in args:
            written, failed = sorted(written), sorted(failed)
        outputs.append((done.returncode, written, failed, done.stderr.partition(b" in ")[0]))
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0][0] == 1
    assert len(outputs[0][1]) > 290


def held(server: Loopback, source: Path, *args: str) -> Process:
    """Start a run of two records in flight, whose answers are withheld."""
    server.gate.clear()
    process = start("-a", f"x={server.url()}", "-l", "6", *args, str(source))
    server.await_requests(6)
    return process


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_bytes(records(400))
    return path


def test_killed_run_is_resumed(three: Dask, server: Loopback, source: Path, tmp_path: Path) -> None:
    """After `kill -9` its children end, and --resume leaves the file of an undisturbed run."""
    args = ("-a", f"x={server.url()}", "-l", "6", str(source), "--window", "50")
    alone, out = tmp_path / "alone.jsonl", tmp_path / "out.jsonl"
    assert run(*args, "-o", str(alone)).returncode == 0
    server.bodies.clear()
    with start(*args, "-o", str(out), *three.option) as process:
        server.arrived.acquire()
        while len(server.bodies) < 100:
            assert server.arrived.acquire(timeout=PATIENCE)
        server.gate.clear()
        children = [pid for worker in three.workers for pid in worker.children()]
        process.kill()
    server.gate.set()
    assert len(children) == 3
    assert without_times(alone.read_bytes()).startswith(without_times(out.read_bytes())[:-200])
    for pid in children:
        await_end(pid)
    assert run(*args, "-o", str(out), "--resume", *three.option).returncode == 0
    assert without_times(out.read_bytes()) == without_times(alone.read_bytes())


def test_first_signal_drains(three: Dask, server: Loopback, source: Path) -> None:
    with held(server, source, "--window", "40", *three.option) as process:
        process.send_signal(signal.SIGINT)
        server.gate.set()
        out, err = process.communicate()
    assert process.returncode == 130
    results = lines(out)
    assert [line["index"] for line in results] == list(range(len(results)))
    assert all(line["ok"] for line in results[:40])
    assert b"died" not in err


def test_second_signal_stops_with_every_line(three: Dask, server: Loopback, source: Path) -> None:
    """Every record that was read has its line; those that were sent are ambiguous.

    So are others of a member that a busy machine keeps from saying so in time.
    """
    with held(server, source, *three.option) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode in (130, 143)
    errors = [line["results"]["x"]["error"] for line in lines(out)]
    assert {error["kind"] for error in errors} == {"cancelled"}
    assert 6 <= sum("ambiguous" in error for error in errors) <= 12


def test_deadline_and_failures_end_the_run(three: Dask, server: Loopback, source: Path) -> None:
    server.gate.clear()
    args = ("-a", f"x={server.url()}", "-l", "6", str(source), *three.option)
    done = run(*args, "--deadline", "500ms")
    assert done.returncode == 124
    assert len(lines(done.stdout)) == 400
    server.gate.set()
    server.replies["/"] = lambda _: (404, b"{}")
    assert run(*args, "--max-failures", "20", "--window", "60").returncode == 4


def test_closed_output_ends_the_run(three: Dask, server: Loopback, source: Path) -> None:
    """`| head -n 1` gets its line, and nothing is said."""
    command = [*COMMAND, "-a", f"x={server.url()}", str(source), *three.option]
    with Process(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["index"] == 0
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141

"""`--workers N` produces what one process produces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.command import lines, records, run, start
from support.loopback import Loopback
from support.processes import children_of

REFUSED = b'{"id": 7}'
WORKERS = ("--workers", "3", "--chunk-size", "10")


def without_seconds(output: bytes) -> bytes:
    """Return the output with every `seconds` set to 0."""
    return re.sub(rb'"seconds":[\d.]+', b'"seconds":0', output)


def fussy(body: bytes) -> tuple[int, bytes]:
    """Refuse records whose id ends in 7."""
    return (404 if body.endswith(b"7}") else 200), body


@pytest.mark.parametrize("emit", ["envelope", "merge", "body"])
def test_output_is_that_of_one_process(server: Loopback, emit: str) -> None:
    """The output equals that of one process, including failed, invalid and blank lines."""
    server.replies["/fussy"] = fussy
    given = records(150) + b"not JSON\n\n" + records(150, 150)
    args = ["-a", f"x={server.url('/fussy')}", "--emit", emit]
    alone = run(*args, stdin=given)
    shared = run(*args, *WORKERS, stdin=given)
    assert shared.returncode == alone.returncode == 1
    assert shared.stderr.partition(b" in ")[0] == alone.stderr.partition(b" in ")[0]
    assert without_seconds(shared.stdout) == without_seconds(alone.stdout)
    assert len(alone.stdout.splitlines()) == 301


def test_idempotency_keys_are_those_of_one_process(server: Loopback, tmp_path: Path) -> None:
    """A key depends on the record, its index and the API's name, not on the worker."""
    config = tmp_path / "c.toml"
    config.write_text(f'[api.x]\nurl = "{server.url()}"\nidempotency_key = true\n')
    keys = []
    for workers in ("1", "2"):
        server.headers.clear()
        assert run("-c", str(config), "--workers", workers, stdin=records(50)).returncode == 0
        keys.append(sorted(headers["Idempotency-Key"] for headers in server.headers))
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 50


def test_limits_hold_for_all_workers_together(server: Loopback) -> None:
    """All workers together use the whole limit and never exceed it."""
    server.gate.clear()
    with start("-a", f"x={server.url()}", "-l", "7", *WORKERS) as process:
        assert process.stdin
        process.stdin.write(records(100))
        process.stdin.close()
        server.await_requests(7)
        assert len(children_of(process.pid)) == 3
        assert server.in_flight == 7
        server.gate.set()
        assert process.stdout
        assert len(lines(process.stdout.read())) == 100
        assert process.wait() == 0
    assert server.peak == 7


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("-l", "2"), "x's limit of 2 cannot be shared by 3"),
        (("--rate", "25/s"), "x's rate of 25/s cannot be shared by 3"),
        (("--total-limit", "2"), "the total limit of 2 cannot be shared by 3"),
    ],
)
def test_no_more_workers_than_a_limit_has_slots(
    server: Loopback, args: tuple[str, ...], why: str
) -> None:
    """If a limit is too small to share, fewer processes run, and a message says why."""
    done = run("-a", f"x={server.url()}", "--workers", "3", *args, stdin=records(4))
    assert (done.returncode, len(lines(done.stdout))) == (0, 4)
    assert done.stderr.decode() == f"tmux-fanout: --workers is 2: {why}\n"


def test_auto_reduces_workers_silently(server: Loopback) -> None:
    """`auto` silently starts as many workers as there are cores and shares of the limits."""
    args = ("-a", f"x={server.url()}", "--workers", "auto", "-l", "1")
    done = run(*args, stdin=records(4))
    assert (done.returncode, done.stderr, len(lines(done.stdout))) == (0, b"", 4)


@pytest.mark.parametrize("wrong", ["0", "-1", "many", ""])
def test_workers_must_be_a_number_or_auto(server: Loopback, wrong: str) -> None:
    """Anything but a positive number or `auto` is refused."""
    done = run("-a", f"x={server.url()}", f"--workers={wrong}")
    assert done.returncode == 2
    assert b"use a number such as 4, or auto" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_configuration_file_has_workers(server: Loopback, tmp_path: Path) -> None:
    """The configuration file may set the number of workers."""
    config = tmp_path / "c.toml"
    config.write_text(f'[run]\nworkers = 2\n[api.x]\nurl = "{server.url()}"\n')
    server.gate.clear()
    with start("-c", str(config)) as process:
        assert process.stdin
        process.stdin.write(records(4))
        process.stdin.close()
        server.await_requests(4)
        assert len(children_of(process.pid)) == 2
        server.gate.set()
        assert process.wait() == 0


def test_rate_holds_for_all_workers_together(server: Loopback) -> None:
    """All workers together keep to the rate: 40 records at 100/s, ten at once, take 0.3 seconds."""
    args = ("-a", f"x={server.url()}", "--rate", "100/s", "--workers", "2", "--summary", "json")
    done = run(*args, stdin=records(40))
    summary = json.loads(done.stderr)
    assert summary["ok"] == 40
    assert summary["seconds"] > 0.28
    assert summary["apis"]["x"]["held_by"]["rate"] > 0.2


def test_summary_adds_up_all_workers(server: Loopback) -> None:
    """The summary adds up the counts of all workers."""
    server.replies["/fussy"] = fussy
    urls = ("-a", f"x={server.url('/fussy')}", "-a", f"y={server.url()}")
    summaries: list[dict[str, Any]] = []
    for workers in ("1", "3"):
        args = (*urls, "--workers", workers, "--summary", "json", "--chunk-size", "20")
        done = run(*args, stdin=records(100) + b"?\n")
        summaries.append(json.loads(done.stderr))
    alone, shared = summaries
    for key in ("records", "written", "ok", "not_ok", "errors", "requests"):
        assert shared[key] == alone[key]
    for key in ("calls", "attempts", "not_ok", "errors", "bytes_sent", "bytes_received", "limit"):
        for api in "xy":
            assert shared["apis"][api][key] == alone["apis"][api][key]
    assert alone["apis"]["x"]["errors"] == {"status": 10}
    assert 0 < shared["apis"]["x"]["p50"] <= shared["apis"]["x"]["max"]
    assert shared["apis"]["x"]["spent"]["waiting"] > 0


def test_unordered_results_are_complete(server: Loopback) -> None:
    """With `--unordered` every record has exactly one line."""
    args = ("-a", f"x={server.url()}", "--unordered", "--workers", "2", "-l", "4")
    done = run(*args, stdin=records(300))
    assert sorted(line["index"] for line in lines(done.stdout)) == list(range(300))


def test_trickle_comes_out_at_once(server: Loopback) -> None:
    """Each record is written before the next one arrives."""
    with start("-a", f"x={server.url()}", "--workers", "2") as process:
        assert process.stdin
        assert process.stdout
        for i in range(5):
            process.stdin.write(records(1, i))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["index"] == i
        process.stdin.close()
        assert process.wait() == 0


def test_small_window_lets_everything_through(server: Loopback) -> None:
    """Lines far larger than the window's bytes pass: the head of the line is always read."""
    given = b"".join(b'{"id": %d, "text": "%s"}\n' % (i, b"x" * 20_000) for i in range(100))
    sizes = ("--window-bytes", "64KiB", "--window", "40")
    done = run("-a", f"x={server.url()}", "--workers", "2", *sizes, stdin=given)
    assert done.returncode == 0
    assert [line["record"]["id"] for line in lines(done.stdout)] == list(range(100))


def test_verbose_logs_outcomes_of_all_workers(server: Loopback) -> None:
    """`-v` logs the outcomes that are not ok, and `-vv` logs all of them."""
    server.replies["/fussy"] = fussy
    for flag, count in (("-v", 2), ("-vv", 20)):
        args = ("-a", f"x={server.url('/fussy')}", flag, "--workers", "2")
        log = run(*args, stdin=records(20)).stderr.decode()
        assert len(re.findall(r"^tmux-fanout: record \d+: x: ", log, re.MULTILINE)) == count
        assert "record 17: x: status: HTTP 404" in log


def test_resumed_output_is_complete(server: Loopback, tmp_path: Path) -> None:
    """`--resume` with `--failed` completes both files: only the parent reads and writes."""
    server.replies["/fussy"] = fussy
    source, out, failed = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "failed.jsonl"))
    source.write_bytes(records(100))
    args = ["-a", f"x={server.url('/fussy')}", str(source), "-o", str(out)]
    args += ["--failed", str(failed), "--resume", *WORKERS]
    assert run(*args).returncode == 1
    whole, letters = out.read_bytes(), failed.read_bytes()
    assert letters == b"".join(b'{"id": %d}\n' % i for i in range(7, 100, 10))
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:43]) + b'{"index":43,')
    server.bodies.clear()
    assert run(*args).returncode == 1
    assert without_seconds(out.read_bytes()) == without_seconds(whole)
    assert failed.read_bytes() == letters
    assert len(server.bodies) == 57

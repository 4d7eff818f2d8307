"""What a run says at its end: failures by what they are, and what held it back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import lines, records, run
from support.loopback import Loopback

WORKERS = ("--workers", "2", "--chunk-size", "5")


def denied(body: bytes) -> tuple[int, bytes]:
    """Serve the first ten records only."""
    return (200, body) if json.loads(body)["id"] < 10 else (422, b'{"error": "no such id"}')


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one", "workers"])
def test_line_tells_failures_by_status_with_a_sample(
    server: Loopback, workers: tuple[str, ...]
) -> None:
    """Off a terminal one line says how many failed, with which status, and what was answered."""
    server.replies["/denied"] = denied
    args = ["-a", f"score={server.url('/denied')}", "-a", f"b={server.url('/{none}')}", *workers]
    done = run(*args, stdin=records(100))
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert (
        b"100 records: 0 ok, 100 not ok: b template x 100 (record 99: the record has no field none)"
        b', score HTTP 422 x 90 (record 99: {"error": "no such id"}); '
    ) in done.stderr


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one", "workers"])
def test_json_has_failures_by_api_kind_and_status(
    server: Loopback, workers: tuple[str, ...]
) -> None:
    """The same for programs, for records and for the calls of each API."""
    server.replies["/denied"] = denied
    args = ["-a", f"score={server.url('/denied')}", "--summary", "json", *workers]
    done = run(*args, stdin=records(100) + b"no JSON\n")
    summary = json.loads(done.stderr)
    assert summary["version"] == 1
    sample = {"record": 99, "message": "HTTP 422", "body": '{"error": "no such id"}'}
    by_status = {"kind": "status", "status": 422}
    assert summary["apis"]["score"]["failures"] == [{**by_status, "calls": 90, "sample": sample}]
    refused, invalid = summary["failures"]
    assert refused == {"api": "score", **by_status, "records": 90, "sample": sample}
    assert (invalid["api"], invalid["kind"], invalid["records"]) == (None, "invalid_record", 1)
    assert invalid["sample"]["message"].startswith("line 101: not JSON")


def test_given_up_run_shows_its_last_errors(server: Loopback) -> None:
    """--max-failures says what failed, even without a summary."""
    server.replies["/denied"] = denied
    args = ["-a", f"score={server.url('/denied')}", "--max-failures", "3", "-l", "1"]
    done = run(*args, "--summary", "none", stdin=records(100))
    assert done.returncode == 4
    last = max(
        line["index"]
        for line in lines(done.stdout)
        if line["results"]["score"].get("status") == 422
    )
    assert done.stderr.decode() == (
        "tmux-fanout: given up, past --max-failures 3; the last errors: "
        f'HTTP 422, record {last}: {{"error": "no such id"}}\n'
    )


def test_summary_of_a_resumed_run_has_the_failures_of_both(
    server: Loopback, tmp_path: Path
) -> None:
    """What failed in the earlier run counts by its status; there is no sample of it."""
    server.replies["/denied"] = denied
    out = tmp_path / "out.jsonl"
    args = ["-a", f"score={server.url('/denied')}", "-o", str(out), "--resume"]
    assert run(*args, stdin=records(15)).returncode == 1
    done = run(*args, "--summary", "json", stdin=records(16))
    (failed,) = json.loads(done.stderr)["failures"]
    assert (failed["status"], failed["records"], failed["sample"]["record"]) == (422, 6, 15)


def test_line_says_what_held_the_run_back(server: Loopback) -> None:
    """The verdict also stands in the line of a run without a terminal."""
    args = ["-a", f"x={server.url('/404')}", "--rate", "10/s"]
    done = run(*args, stdin=records(6))
    assert done.stderr.decode().rstrip().endswith("of the time")
    assert "; x's rate limit took " in done.stderr.decode()

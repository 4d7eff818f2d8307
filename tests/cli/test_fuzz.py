"""Each record gets its line, whatever records, responses and configurations are drawn.

TMUX_FANOUT_FUZZ=100000 in the environment asks for more jobs than the suite has time for.
"""

from __future__ import annotations

import gc
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from support.command import run
from support.fuzzing import MOVES, Job, OddServer, jobs, odd_server, prepare
from support.nasty import Reply
from support.thoroughness import share_of

from tmux_fanout.cli.main import cli
from tmux_fanout.core.records.framing import LineFramer
from tmux_fanout.core.records.parser import Record, RecordParser
from tmux_fanout.core.units import parse_size

JOBS = int(os.environ.get("TMUX_FANOUT_FUZZ", share_of(150)))
STATUSES = {0, 1, 4}
_READ = re.compile(r"([0-9,]+) records")
_OTHER_BODIES = {"batch", "body_format", "compress", "pages", "redirects"}
_OTHER_RESPONSES = {"batch", "pages", "stream"}

unhurried = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.fixture(scope="module")
def server() -> Iterator[OddServer]:
    with odd_server() as server:
        yield server


@given(jobs)
@settings(unhurried, max_examples=JOBS)
def test_each_record_gets_its_line(server: OddServer, job: Job) -> None:
    """Over either transport the output is valid JSON, in order, spelled as it was, without bugs."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(job, server, Path(folder))
        args = ["-c", str(paths["config"]), "-o", str(paths["output"]), str(paths["input"])]
        with server.at(paths["socket"]), _standard_error(paths["stderr"]):
            status = cli(["run", *args], standalone_mode=False, obj=[])
        output = paths["output"].read_bytes() if paths["output"].exists() else b""
        _check(job, status, output, paths["stderr"].read_text(errors="replace"))
        if status != 2:
            _check_requests(job, server.requests)
        if status in (0, 1) and job.run.get("emit", "envelope") == "envelope":
            _check_verified(job, paths)


def _check_verified(job: Job, paths: dict[str, Path]) -> None:
    """Verify the output against its input, and check that a resume leaves it as it is."""
    if "max_line" in job.run:
        return
    order = ["--unordered"] if job.run.get("unordered") else []
    with _standard_error(paths["stderr"]):
        status = cli(
            ["verify", *order, str(paths["input"]), str(paths["output"])],
            standalone_mode=False,
            obj=[],
        )
    assert status in (0, 1), paths["stderr"].read_text(errors="replace")
    if order:
        return
    before = paths["output"].read_bytes()
    args = ["-c", str(paths["config"]), "-o", str(paths["output"]), "--resume"]
    with _standard_error(paths["stderr"]):
        status = cli(["run", *args, str(paths["input"])], standalone_mode=False, obj=[])
    assert status in (0, 1), paths["stderr"].read_text(errors="replace")
    assert paths["output"].read_bytes() == before


@given(jobs)
@settings(unhurried, max_examples=max(3, JOBS // 30))
def test_each_record_gets_its_line_from_workers(server: OddServer, job: Job) -> None:
    """The same holds for a process with two workers."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(job, server, Path(folder))
        with server.at(paths["socket"]):
            done = run("-c", str(paths["config"]), "--workers", "2", str(paths["input"]))
        _check(job, done.returncode, done.stdout, done.stderr.decode(errors="replace"))
        if done.returncode != 2:
            _check_requests(job, server.requests)


def _write(job: Job, server: OddServer, folder: Path) -> dict[str, Path]:
    paths = {name: folder / name for name in ("config", "input", "output", "socket", "stderr")}
    prepare(folder)
    paths["config"].write_text(job.configuration(server.origin, str(folder)), encoding="utf-8")
    paths["input"].write_bytes(b"".join(line + b"\n" for line in job.lines))
    server.replies = job.replies
    server.requests.clear()
    return paths


@contextmanager
def _standard_error(path: Path) -> Iterator[None]:
    """Redirect standard error to a file, and restore it and the collector afterwards."""
    thresholds = gc.get_threshold()
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            gc.set_threshold(*thresholds)
            gc.unfreeze()


def _check(job: Job, status: int | None, output: bytes, stderr: str) -> None:
    assert "Traceback" not in stderr, stderr
    event(f"status {status}")
    if status == 2:
        assert output == b""
        assert stderr.endswith("\n"), stderr
        assert all(line.startswith("tmux-fanout: ") for line in stderr.splitlines()), stderr
        return
    assert status in STATUSES, stderr
    assert "internal" not in stderr, stderr
    records = _records(job)
    lines = output.splitlines(keepends=True)
    if status == 4:  # the run was given up, so the rest was not read
        records = records[: int(_READ.findall(stderr)[-1].replace(",", ""))]
    assert len(lines) == len(records), stderr
    assert all(line.endswith(b"\n") for line in lines)
    values = [_spelled(line) for line in lines]
    emit = job.run.get("emit", "envelope")
    if emit == "envelope":
        _check_envelopes(job, records, lines, values, status)
    elif emit == "merge" and not job.run.get("unordered"):
        for record, value in zip(records, values):
            _check_merged(job, record, value)


def _records(job: Job) -> list[Record]:
    max_line = int(parse_size(job.run.get("max_line", "16MiB")))
    framer = LineFramer(max_line)
    framed = framer.feed(b"".join(line + b"\n" for line in job.lines)) + framer.finish()
    return RecordParser("jsonl", max_line).parse(framed)


def _spelled(text: bytes) -> Any:
    """Parse JSON, keeping numbers as they are spelled."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse)


def _check_requests(job: Job, requests: list[bytes]) -> None:
    """Check that bodies made by rearranging a record keep its spelling."""
    if len(job.apis) != 1 or job.run.get("max_failures") or job.apis[0].keys() & _OTHER_BODIES:
        return
    move = MOVES.get(job.apis[0].get("body", ""))
    if move is None:
        return
    records = [_spelled(record.json) for record in _records(job) if not record.error]
    expected = [move(each) for each in records if isinstance(each, dict)]
    for request in requests:
        method, _, _ = request.partition(b" ")
        _, _, body = request.partition(b"\r\n")
        if body and method in (b"POST", b"PUT", b"PATCH"):
            assert _spelled(body) in [*expected, *records], request


def _check_selected(job: Job, api: dict[str, Any], outcome: dict[str, Any]) -> None:
    """Check that a selected body made by rearranging a response keeps its spelling."""
    move = MOVES.get(api.get("select", ""))
    if move is None or not outcome["ok"] or outcome.get("skipped") or api.keys() & _OTHER_RESPONSES:
        return
    expected = []
    for reply in job.replies:
        value = _json_of(reply)
        expected.append(move(value) if isinstance(value, dict) else value)
    assert outcome.get("body") in [*expected, None, {"m": None}, [None, {"t": None}], [None]]


def _json_of(reply: Reply) -> Any:
    _, _, body = reply.wire.partition(b"\r\n\r\n")
    if b"chunked" in reply.wire:
        body = body.partition(b"\r\n")[2].removesuffix(b"\r\n0\r\n\r\n")
    try:
        return _spelled(body)
    except (ValueError, AssertionError, RecursionError):
        return None


def _check_envelopes(
    job: Job, records: list[Record], lines: list[bytes], values: list[Any], status: int
) -> None:
    indexes = [int(value["index"]) for value in values]
    assert sorted(indexes) == list(range(len(records)))
    assert job.run.get("unordered") or indexes == sorted(indexes)
    for line, value in zip(lines, values):
        record = records[int(value["index"])]
        if record.error:
            assert value["error"]["kind"] == record.error.kind
        else:
            assert b'"record":%b,"ok":' % record.json in line
            assert len(value["results"]) == len(job.apis)
            for api, outcome in zip(job.apis, value["results"].values()):
                _check_selected(job, api, outcome)
    assert (status == 0) == all(value["ok"] for value in values)


def _check_merged(job: Job, record: Record, value: Any) -> None:
    if record.error:
        assert value["_errors"]["record"]["kind"] == record.error.kind
        return
    expected = _spelled(record.json)
    if not isinstance(expected, dict):
        expected = {"value": expected}
    added = {"_errors", *(f"x{index}" for index in range(len(job.apis)))}
    kept = {key: item for key, item in expected.items() if key not in added}
    assert {key: item for key, item in value.items() if key not in added} == kept

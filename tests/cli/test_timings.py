"""The option `--timings`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.command import lines, records, run
from support.loopback import Loopback


@pytest.mark.parametrize(
    "more", [[], ["--workers", "2"], ["--transport", "httpx"], ["--unordered"]]
)
def test_lines_have_timings(server: Loopback, more: list[str]) -> None:
    """Each outcome has those of its last attempt, and each record the time of its first one."""
    before = time.time()
    done = run(
        *("-a", f"x={server.url('/x')}", "-a", f"y={server.url('/404')}", "--timings"),
        *("-l", "4", *more),
        stdin=records(20) + b"{\n",
    )
    after = time.time()
    found = sorted(lines(done.stdout), key=lambda each: each["index"])
    assert len(found) == 21
    assert "started" not in found[20]
    for each in found[:20]:
        assert before - 0.01 <= each["started"] <= after + 0.01
        for outcome in each["results"].values():
            timings = outcome["timings"]
            assert list(timings) == ["connect", "first_byte", "total", "bytes"]
            assert 0 <= timings["first_byte"] <= timings["total"] <= outcome["seconds"] + 0.0001
            assert timings["connect"] is None or 0 <= timings["connect"] <= timings["total"]
            assert timings["bytes"] > 0
    connected = [each["results"]["x"]["timings"]["connect"] for each in found[:20]]
    assert any(seconds is not None for seconds in connected)


def test_timings_in_a_configuration_and_a_table(server: Loopback, tmp_path: Path) -> None:
    """The key of the file does the same, and columns can show it."""
    config = tmp_path / "fan.toml"
    config.write_text(f"[run]\ntimings = true\n[api.x]\nurl = '{server.url('/x')}'\n")
    columns = "id=index, at=started, total=results.x.timings.total"
    done = run("-c", str(config), "--columns", columns, stdin=records(2))
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [row.split(",") for row in done.stdout.decode().splitlines()[1:]]
    assert all(float(at) > 1e9 and float(total) >= 0 for _, at, total in rows)
    checked = run("check", "-c", str(config)).stdout.decode()
    assert "timings = true" in checked


@pytest.mark.parametrize("emit", ["merge", "body"])
def test_timings_need_envelopes(server: Loopback, emit: str) -> None:
    """Nothing is sent otherwise."""
    done = run("-a", f"x={server.url('/x')}", "-e", emit, "--timings", stdin=records(1))
    assert (done.returncode, done.stdout) == (2, b"")
    why = f"--timings with --emit {emit}, which has none: use --emit envelope"
    assert why in done.stderr.decode()
    assert not server.bodies


def test_outputs_with_timings_are_resumed_mended_and_verified(
    server: Loopback, tmp_path: Path
) -> None:
    """They are what any output is, and `report` shows them along time."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(records(30))
    args = ("-a", f"x={server.url('/x')}", "-q", "-o", str(out), str(source))
    assert run(*args, "--timings").returncode == 0
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert run(*args, "--timings", "--resume").returncode == 0
    assert run(*args, "--resume").returncode == 0
    assert [each["index"] for each in lines(out.read_bytes())] == list(range(30))
    assert all("started" in each for each in lines(out.read_bytes()))
    assert run("verify", str(source), str(out)).returncode == 0
    (figures,) = json.loads(run("report", "--json", str(out)).stdout)["outputs"]
    assert sum(each["records"] for each in figures["by_time"]) == 30
    assert figures["apis"]["x"]["phases"]["total"]["count"] == 30
    out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:10]))
    assert run(*args, "--timings", "--mend").returncode == 0
    assert len(lines(out.read_bytes())) == 30

"""The key `cache`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.command import lines, records, run, start
from support.loopback import Loopback


def configure(tmp_path: Path, server: Loopback, cache: str = "", more: str = "") -> str:
    config = tmp_path / "fan.toml"
    cache = cache or f"{{ dir = '{tmp_path}/cache', ttl = '1h' }}"
    config.write_text(f"[api.x]\nurl = '{server.url('/x')}'\ncache = {cache}\n{more}\n")
    return str(config)


@pytest.mark.parametrize(
    "more",
    [[], ["--workers", "2"], ["--transport", "httpx"], ["--timings"], ["--unordered"]],
    ids=lambda more: more[0] if more else "plain",
)
def test_second_run_makes_no_requests(server: Loopback, tmp_path: Path, more: list[str]) -> None:
    """All of its answers are those of the first, and say so."""
    config = configure(tmp_path, server)
    first = run("-c", config, *more, "--summary", "json", stdin=records(60))
    assert first.returncode == 0
    assert len(server.bodies) == 60
    second = run("-c", config, *more, "--summary", "json", stdin=records(60))
    assert second.returncode == 0
    assert len(server.bodies) == 60
    for before, after in zip(
        sorted(lines(first.stdout), key=lambda each: int(each["index"])),
        sorted(lines(second.stdout), key=lambda each: int(each["index"])),
    ):
        outcome = after["results"]["x"]
        assert list(outcome) == ["ok", "status", "body", "attempts", "seconds", "cached"]
        assert (outcome["attempts"], outcome["seconds"], outcome["cached"]) == (0, 0, True)
        assert outcome["body"] == before["results"]["x"]["body"]
        assert "cached" not in before["results"]["x"]
    summary = json.loads(second.stderr)
    assert (summary["requests"], summary["ok"]) == (0, 60)
    assert summary["apis"]["x"]["cached"] == 60
    assert "cached" not in json.loads(first.stderr)["apis"]["x"]


def test_runs_at_the_same_time_use_one_cache(server: Loopback, tmp_path: Path) -> None:
    """Neither disturbs the other."""
    config = configure(tmp_path, server)
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(300))
    both = [start("-c", config, "-q", str(source)) for _ in range(2)]
    for each in both:
        out, said = each.communicate()
        assert (each.returncode, said) == (0, b"")
        assert len(lines(out)) == 300
    count = len(server.bodies)
    assert run("-c", config, "-q", str(source)).returncode == 0
    assert len(server.bodies) == count


def test_outputs_are_resumed_mended_verified_reported_and_converted(
    server: Loopback, tmp_path: Path
) -> None:
    """They are what any output is."""
    config = configure(tmp_path, server)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(records(30))
    args = ("-c", config, "-q", "-o", str(out), str(source))
    assert run(*args).returncode == 0
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert run(*args, "--resume").returncode == 0
    assert run("verify", str(source), str(out)).returncode == 0
    out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:10]))
    assert run(*args, "--mend").returncode == 0
    assert len(server.bodies) == 30
    found = [each["results"]["x"].get("cached", False) for each in lines(out.read_bytes())]
    assert len(found) == 30
    assert sum(found) >= 20
    (figures,) = json.loads(run("report", "--json", str(out)).stdout)["outputs"]
    assert figures["apis"]["x"]["cached"] == sum(found)
    assert "from a cache" in run("report", "--text", str(out)).stdout.decode()
    table = run("convert", "-e", "csv", "--columns", "s=results.x.cached", str(out))
    assert table.stdout.split().count(b"true") == sum(found)


def test_check_explain_and_plan_take_it_into_account(server: Loopback, tmp_path: Path) -> None:
    """Nothing is sent, and no file is made."""
    config = configure(tmp_path, server, "{ dir = '${FOLDER}/c', ttl = '90m', max_size = '1MiB' }")
    environment = {**os.environ, "FOLDER": str(tmp_path)}
    shown = run("check", "-c", config, env=environment).stdout.decode()
    assert 'cache = { dir = "${FOLDER}/c", ttl = "90m", max_size = "1MiB" }' in shown
    shown = run("explain", "-c", config, stdin=records(1), env=environment).stdout.decode()
    assert "a run takes answers from ${FOLDER}/c that are up to 90m old" in shown
    args = ("plan", "-c", config, "--latency", "x=fixed:10ms", "--json")
    planned = json.loads(run(*args, stdin=records(30), env=environment).stdout)
    assert planned["requests"] == 30
    assert "the cache" in " ".join(planned["notes"])
    assert not (tmp_path / "c").exists()
    assert not server.bodies
    assert run("-c", config, stdin=records(1), env=environment).returncode == 0
    assert (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        ("'folder'", "x.cache: not a table: use { dir ="),
        ("{ ttl = '1h' }", "x.cache: missing dir"),
        ("{ dir = 'c' }", "x.cache: missing ttl"),
        ("{ dir = '', ttl = 1 }", "x.cache.dir: invalid folder"),
        ("{ dir = 3, ttl = 1 }", "x.cache"),
        ("{ dir = 'c', ttl = 'soon' }", "x.cache.ttl"),
        ("{ dir = 'c', ttl = 1, max_size = 0 }", "x.cache.max_size"),
        ("{ dir = 'c', ttl = 1, maxsize = 1 }", "max_size"),
        ("{ dir = '${NO_SUCH}', ttl = 1 }", "NO_SUCH"),
    ],
)
def test_mistakes_get_a_line(server: Loopback, tmp_path: Path, cache: str, said: str) -> None:
    """With what to write."""
    done = run("-c", configure(tmp_path, server, cache), stdin=records(1))
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert not server.bodies


def test_cache_that_cannot_be_used_is_reported_once(server: Loopback, tmp_path: Path) -> None:
    """And the run goes on without."""
    (tmp_path / "cache").write_text("a file")
    for more in ([], ["--workers", "2"]):
        done = run("-c", configure(tmp_path, server), *more, stdin=records(50))
        assert done.returncode == 0
        said = [line for line in done.stderr.decode().splitlines() if "cache" in line]
        assert len(said) == 1
        assert (
            said[0].endswith("Not a directory; the run goes on without it") or "exists" in said[0]
        )

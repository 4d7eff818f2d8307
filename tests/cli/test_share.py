"""The key `share`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import lines, run
from support.loopback import Loopback


def configure(tmp_path: Path, server: Loopback, more: str = "") -> str:
    config = tmp_path / "fan.toml"
    config.write_text(
        f"[api.x]\nurl = '{server.url('/x')}'\nbody = '{{t: t}}'\nshare = true\n{more}\n"
    )
    return str(config)


def records(count: int) -> bytes:
    """Return records that differ, though only three requests are made of them."""
    return b"".join(b'{"n":%d,"t":%d}\n' % (n, n % 3) for n in range(count))


@pytest.mark.parametrize(
    "more",
    [[], ["--workers", "2"], ["--transport", "httpx"], ["--timings"], ["--unordered"]],
    ids=lambda more: more[0] if more else "plain",
)
def test_lines_say_which_answers_are_shared(
    server: Loopback, tmp_path: Path, more: list[str]
) -> None:
    """All others have made a request; the summary has their numbers."""
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(60))
    args = ("-c", configure(tmp_path, server), *more, "--summary", "json", str(source))
    done = run(*args)
    assert done.returncode == 0
    outcomes = [each["results"]["x"] for each in lines(done.stdout)]
    shared = [outcome for outcome in outcomes if "shared" in outcome]
    assert all(outcome["shared"] is True and outcome["attempts"] == 0 for outcome in shared)
    assert len(server.bodies) == 60 - len(shared)
    if more[:1] != ["--workers"]:
        assert len(shared) == 57
    assert all("timings" not in outcome for outcome in shared)
    for line in lines(done.stdout):
        assert line["results"]["x"]["body"] == {"t": line["record"]["t"]}
    summary = json.loads(done.stderr)
    assert (summary["requests"], summary["ok"]) == (len(server.bodies), 60)
    assert summary["apis"]["x"]["calls"] == 60
    assert summary["apis"]["x"]["shared"] == len(shared)


def test_outputs_with_shared_answers_are_resumed_mended_verified_and_converted(
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
    found = [each["results"]["x"] for each in lines(out.read_bytes())]
    assert len(found) == 30
    shared = sum("shared" in outcome for outcome in found)
    (figures,) = json.loads(run("report", "--json", str(out)).stdout)["outputs"]
    assert (figures["apis"]["x"]["shared"], figures["apis"]["x"]["attempts"]) == (
        shared,
        30 - shared,
    )
    assert "share an answer" in run("report", "--text", str(out)).stdout.decode()
    table = run("convert", "-e", "csv", "--columns", "s=results.x.shared", str(out))
    assert table.stdout.split().count(b"true") == shared
    assert run("convert", "-e", "merge", str(out)).returncode == 0


def test_table_of_the_summary_has_a_row_for_them(server: Loopback, tmp_path: Path) -> None:
    """And so has the report of what each call came to."""
    config = configure(tmp_path, server)
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(12))
    said = run("-c", config, "--summary", "table", "-vv", str(source)).stderr.decode()
    assert "without a request" in said
    assert said.count(", shared") == 9


def test_check_explain_and_plan_take_it_into_account(server: Loopback, tmp_path: Path) -> None:
    """Nothing is sent."""
    config = configure(tmp_path, server)
    source = tmp_path / "in.jsonl"
    source.write_bytes(records(30))
    assert "share = true" in run("check", "-c", config).stdout.decode()
    shown = run("explain", "-c", config, str(source)).stdout.decode()
    assert "a run makes identical requests once, for all records in the window" in shown
    args = ("plan", "-c", config, "--latency", "x=fixed:10ms", "--json")
    assert json.loads(run(*args, str(source)).stdout)["requests"] == 3
    source.write_bytes(records(5000))
    planned = json.loads(run(*args, str(source)).stdout)
    assert planned["requests"] == 5000
    assert "share an answer" in " ".join(planned["notes"])
    assert not server.bodies


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "share"),
        ("poll = { url = '/jobs/{n}/{_submitted.id}', until = 'done' }", "poll.url has fields"),
    ],
)
def test_mistakes_get_a_line(server: Loopback, tmp_path: Path, more: str, said: str) -> None:
    """With what to write."""
    config = Path(configure(tmp_path, server, more))
    if not more:
        config.write_text(config.read_text().replace("share = true", "share = 'yes'"))
    done = run("-c", str(config), stdin=records(1))
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert "api.x.share" in done.stderr.decode()
    assert not server.bodies

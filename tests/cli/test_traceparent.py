"""The key `traceparent`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.command import lines, records, run
from support.loopback import Loopback


def configure(tmp_path: Path, server: Loopback, more: str = "") -> str:
    config = tmp_path / "fan.toml"
    apis = "".join(f"[api.{each}]\nurl = '{server.url('/' + each)}'\n" for each in "xy")
    config.write_text(f"[defaults]\ntraceparent = true\n{more}\n{apis}")
    return str(config)


@pytest.mark.parametrize(
    "more",
    [[], ["--workers", "2"], ["--transport", "httpx"], ["--timings"], ["--unordered"]],
    ids=lambda more: more[0] if more else "plain",
)
def test_lines_name_the_traces_that_were_sent(
    server: Loopback, tmp_path: Path, more: list[str]
) -> None:
    """The same one for both APIs of a record."""
    done = run("-c", configure(tmp_path, server), *more, stdin=records(20))
    assert (done.returncode, done.stderr) == (0, b"")
    found = lines(done.stdout)
    traces = [{outcome["trace"] for outcome in each["results"].values()} for each in found]
    assert [len(each) for each in traces] == [1] * 20
    assert len(set.union(*traces)) == 20
    assert all(re.fullmatch("[0-9a-f]{32}", trace) for each in traces for trace in each)
    last = ["trace", "timings"] if more == ["--timings"] else ["trace"]
    for each in found:
        for outcome in each["results"].values():
            assert list(outcome)[-len(last) :] == last


def test_outputs_with_traces_are_resumed_mended_verified_and_converted(
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
    assert len(lines(out.read_bytes())) == 30
    assert all("trace" in each["results"]["x"] for each in lines(out.read_bytes()))
    (figures,) = json.loads(run("report", "--json", str(out)).stdout)["outputs"]
    assert figures["records"] == 30
    columns = run("convert", "-e", "csv", "--columns", "t=results.x.trace", str(out))
    assert columns.stderr == b""
    assert len(set(columns.stdout.split())) == 31


def test_check_and_explain_say_so(server: Loopback, tmp_path: Path) -> None:
    """A header of the user's own is shown in place of it."""
    config = configure(tmp_path, server)
    assert "traceparent = true" in run("check", "-c", config).stdout.decode()
    shown = run("explain", "-c", config, stdin=records(2)).stdout.decode()
    assert shown.count("a run adds a traceparent header to each attempt") == 2
    config = configure(tmp_path, server, 'headers = { traceparent = "{t?}" }')
    shown = run("explain", "-c", config, stdin=b'{"t":"00-1"}\n').stdout.decode()
    assert "a run adds" not in shown
    assert "traceparent: 00-1" in shown
    assert not server.bodies


def test_other_values_are_refused(server: Loopback, tmp_path: Path) -> None:
    """With what to write."""
    config = tmp_path / "fan.toml"
    config.write_text(f"[api.x]\nurl = '{server.url('/x')}'\ntraceparent = 'yes'\n")
    done = run("-c", str(config), stdin=records(1))
    assert done.returncode == 2
    assert "api.x.traceparent" in done.stderr.decode()
    assert "true or false" in done.stderr.decode()

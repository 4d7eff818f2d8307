"""The command `plan`: what a run will take."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.command import records, run
from support.envelopes import eventful
from support.loopback import Loopback
from support.terminal import terminal

API = ("-a", "a=http://a.test/")
STATED = ("--latency", "a=fixed:100ms")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file of 200 records."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(records(200))
    return str(path)


def plan(*args: str, stdin: bytes = b"") -> dict[str, Any]:
    done = run("plan", "--json", *args, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    assert done.stdout.count(b"\n") == 1
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_stated_latencies_are_enough(source: str) -> None:
    """The time is that of the limit; the same plan as text has its table."""
    found = plan(*API, *STATED, "-l", "10", source)
    assert found["records"] == found["requests"] == found["simulated"] == 200
    assert found["low"] == found["seconds"] == found["high"] == 2.0
    assert [row["seconds"] for row in found["table"]] == [4.0, 2.0, 1.0, 0.5]
    text = run("plan", *API, *STATED, "-l", "10", source).stdout.decode()
    assert text.startswith("time      2s\nrecords   200 ok, 0 not ok\nrequests  200\n")
    assert re.search(r"\nx 0\.5 +4s +200 +0\n", text)
    assert "latencies from --latency a=fixed:100ms" in text


def test_records_may_stand_for_more(source: str) -> None:
    """They are taken by turns; standard input will do."""
    found = plan(*API, *STATED, "-l", "10", "-n", "500", source)
    assert (found["records"], found["seconds"]) == (500, 5.0)
    piped = plan(*API, *STATED, "-l", "10", "-n", "500", stdin=records(7))
    assert piped["seconds"] == 5.0


def test_output_of_a_run_is_learned_from(source: str, server: Loopback, tmp_path: Path) -> None:
    """Failures and latencies of all APIs are those of the run, compressed or not."""
    server.replies["/x"] = lambda body: (404 if body.endswith(b"7}") else 200, b'{"n":1}')
    out = tmp_path / "out.jsonl"
    args = ("-a", f"x={server.url('/x')}", "-a", f"y={server.url('/y')}")
    done = run(*args, "-q", "--timings", "-o", str(out), source)
    assert done.returncode == 1
    packed = tmp_path / "out.jsonl.gz"
    packed.write_bytes(gzip.compress(out.read_bytes()))
    for path in (out, packed):
        found = plan(*args, "--from", str(path), source)
        assert 5 <= found["not_ok"] <= 45
        assert found["failures"] == {"x: HTTP 404": found["not_ok"]}
        assert found["apis"]["x"]["source"] == str(path)
    requests = len(server.bodies)
    stated = plan(*args, "--from", str(out), "--latency", "x=fixed:1s", source)
    assert (stated["not_ok"], stated["apis"]["x"]["p50"]) == (0, pytest.approx(1.0, rel=0.03))
    assert len(server.bodies) == requests  # nothing is sent


def test_learned_values_are_read(source: str, server: Loopback, tmp_path: Path) -> None:
    """What --learn writes tells `plan` how long calls take."""
    learned = str(tmp_path / "learned.toml")
    args = ("-a", f"x={server.url('/x')}")
    assert run(*args, "-q", "--learn", learned, source).returncode == 0
    found = plan(*args, "--from", learned, source)
    assert found["apis"]["x"]["source"] == f"{learned}, 200 calls"
    assert found["seconds"] > 0


def test_sample_calls_are_made(source: str, server: Loopback) -> None:
    """As many as are asked for, spread over the input, and no more."""
    found = plan("-a", f"x={server.url('/x')}", "--sample", "20", "-n", "1000", source)
    assert sorted(json.loads(body)["id"] for body in server.bodies) == [*range(0, 200, 10)]
    assert (found["records"], found["requests"]) == (1000, 1000)
    assert found["apis"]["x"]["source"] == "20 sample calls"


def test_configuration_is_that_of_run(source: str, tmp_path: Path) -> None:
    """Its settings count, and options win; secrets are nowhere."""
    config = tmp_path / "fanout.toml"
    config.write_text(
        '[run]\nlimit = 10\n[api.a]\nurl = "http://a.test"\nheaders = { K = "s3cret" }\n'
        'price = { call = "0.01" }\n'
    )
    done = run("plan", "-c", str(config), *STATED, "--json", source)
    found = json.loads(done.stdout)
    assert (found["seconds"], found["cost"]) == (2.0, 2.0)
    assert b"s3cret" not in done.stdout + done.stderr
    assert plan("-c", str(config), *STATED, "-l", "20", source)["seconds"] == 1.0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "how long does a take? give --from OUTPUT"),
        (("--latency", "b=fixed:1s"), "--latency: no API 'b': use one of a"),
        (("--latency", "a=50ms"), "use NAME=fixed:50ms"),
        (("--latency", "a=lognormal:50ms"), "lognormal:120ms,p99=2s"),
        (("--from", "/no/such"), "does not exist: use an output of --emit envelope, or what `run"),
        (("--from", "/"), "is a directory: use an output of --emit envelope, or what `run"),
        (("--from", "-", "-"), "standard input can only be read once"),
        (("--sample", "0"), "whole number of at least 1"),
        (("-n", "x"), "whole number of at least 1"),
        (("-l", "0"), "whole number of at least 1"),
        (("--latancy", "a=fixed:1s"), "--latency"),
    ],
)
def test_mistake_is_one_line(source: str, args: tuple[str, ...], said: str) -> None:
    """It says what to write, and the exit status is 2."""
    done = run("plan", *API, *args, source)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert said in " ".join(done.stderr.decode().split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no results"),
        (b"no line\n", "has no results"),
        (b'{"a": 1}\n', "has no results"),
        (b"# Learned by tmux-fanout from a run\n", "no table [learned]"),
        (b"# Learned by tmux-fanout from a run\n[learned]\nx = 1\n", "[learned]"),
    ],
)
def test_other_files_are_refused(source: str, tmp_path: Path, content: bytes, said: str) -> None:
    """One line names the file, and says what to give."""
    other = tmp_path / "other"
    other.write_bytes(content)
    done = run("plan", *API, "--from", str(other), source)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert str(other) in done.stderr.decode()
    assert said in done.stderr.decode()


def test_damaged_lines_are_told(source: str, tmp_path: Path) -> None:
    """The others count."""
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"".join(line + b"\n" for line in eventful(50)) + b'{"index":')
    names = json.loads(out.read_bytes().splitlines()[0])["results"]
    apis = [word for name in names for word in ("-a", f"{name}=http://a.test/")]
    done = run("plan", *apis, "--from", str(out), source)
    assert done.returncode == 0
    assert b"1 line of" in done.stderr


def test_input_without_records(tmp_path: Path) -> None:
    """There is nothing to plan."""
    done = run("plan", *API, *STATED)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"no record" in done.stderr


def test_input_that_breaks_off(tmp_path: Path) -> None:
    """The exit status is 1."""
    broken = tmp_path / "records.jsonl.gz"
    broken.write_bytes(gzip.compress(records(10_000))[:-20])
    done = run("plan", *API, *STATED, str(broken))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"\n") == 1


def test_invalid_records_are_not_ok(tmp_path: Path) -> None:
    """As in a run."""
    found = plan(*API, *STATED, stdin=records(3) + b"{\n")
    assert (found["ok"], found["not_ok"], found["failures"]) == (3, 1, {"invalid_record": 1})


def test_terminal_as_input_is_refused() -> None:
    """Nobody types the records of a plan."""
    with terminal(100) as opened:
        opened.start("plan", *API, *STATED)
        assert opened.wait() == 2
        assert "a plan needs records" in opened.text


def test_settings_that_keep_lines_are_told(source: str, tmp_path: Path) -> None:
    """The plan is of all records."""
    out = str(tmp_path / "out.jsonl")
    found = plan(*API, *STATED, "-o", out, "--resume", source)
    assert any("--resume" in note for note in found["notes"])
    assert not Path(out).exists()

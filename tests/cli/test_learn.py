"""`--learn FILE`: what a run has found out, for `plan` and for the next run."""

from __future__ import annotations

import os
import stat
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.command import records, run
from support.loopback import Loopback

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def learned_from(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


@WORKERS
def test_calls_are_those_of_the_run(server: Loopback, tmp_path: Path, workers: str) -> None:
    """All processes are counted together; the file is a configuration that has no effect."""
    server.replies["/x"] = lambda body: (404 if body.endswith(b"7}") else 200, b"{}")
    file = tmp_path / "learned.toml"
    args = ("-a", f"x={server.url('/x')}", "-a", f"y={server.url('/y')}", "--workers", workers)
    done = run(*args, "-q", "--learn", str(file), "--chunk-size", "5", stdin=records(100))
    assert (done.returncode, done.stderr) == (1, b"")
    apis = learned_from(file)["learned"]["api"]
    assert {name: (api["calls"], api["requests"], api["ok"]) for name, api in apis.items()} == {
        "x": (100, 100, 90),
        "y": (100, 100, 100),
    }
    assert apis["x"]["failures"] == {"status 404": 10}
    seconds = list(apis["y"]["seconds"].values())
    assert sorted(seconds) == seconds
    again = run(*args, "-q", "-c", str(file), stdin=records(1))
    assert (again.returncode, again.stderr) == (0, b"")


@WORKERS
def test_limit_that_adapts_is_learned(server: Loopback, tmp_path: Path, workers: str) -> None:
    """It is the number of slots of all processes together."""
    config, file = tmp_path / "fanout.toml", tmp_path / "learned.toml"
    config.write_text(f'[api.x]\nurl = "{server.url("/x")}"\nlimit = {{ min = 2, max = 8 }}\n')
    args = ("-c", str(config), "-q", "--learn", str(file), "--workers", workers)
    assert run(*args, stdin=records(50)).returncode == 0
    assert 2 <= learned_from(file)["api"]["x"]["limit"] <= 8


def _refusing(share: int) -> Callable[[bytes], tuple[int, bytes]]:
    """Return what refuses the first requests, as many as are given."""
    left = iter(range(share))
    lock = threading.Lock()

    def reply(_: bytes) -> tuple[int, bytes]:
        with lock:
            return (200, b"{}") if next(left, None) is None else (429, b"")

    return reply


def test_rate_that_was_found_is_learned(server: Loopback, tmp_path: Path) -> None:
    """The next run begins with it, as the file may be its configuration."""
    server.replies["/x"] = _refusing(30)
    file = tmp_path / "learned.toml"
    done = run("-a", f"x={server.url('/x')}", "-q", "--learn", str(file), stdin=records(40))
    assert done.returncode == 0
    rate = learned_from(file).get("api", {}).get("x", {}).get("rate", "1/s")
    assert float(rate[:-2]) > 0
    args = ("-a", f"x={server.url('/x')}", "-c", str(file), "-q")
    assert run(*args, stdin=records(1)).returncode == 0


def test_file_is_replaced_as_a_whole(server: Loopback, tmp_path: Path) -> None:
    """It keeps its permissions; nothing else is left in the folder."""
    file = tmp_path / "learned.toml"
    args = ("-a", f"x={server.url('/x')}", "-q", "--learn", str(file))
    run(*args, stdin=records(3))
    file.chmod(0o600)
    before = file.stat().st_ino
    run(*args, stdin=records(5))
    assert learned_from(file)["learned"]["api"]["x"]["calls"] == 5
    assert file.stat().st_ino != before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["learned.toml"]


def test_run_without_requests_leaves_the_file(server: Loopback, tmp_path: Path) -> None:
    """What an earlier run has learned is worth more than nothing."""
    file = tmp_path / "learned.toml"
    args = ("-a", f"x={server.url('/x')}", "-q", "--learn", str(file))
    run(*args, stdin=records(3))
    before = file.read_bytes()
    assert run(*args, stdin=b"").returncode == 0
    assert file.read_bytes() == before


def test_option_may_stand_in_the_file(server: Loopback, tmp_path: Path) -> None:
    """As all options of a run."""
    config, file = tmp_path / "fanout.toml", tmp_path / "learned.toml"
    config.write_text(f"[run]\nlearn = '{file}'\n[api.x]\nurl = '{server.url('/x')}'\n")
    assert run("-c", str(config), "-q", stdin=records(3)).returncode == 0
    assert "learned" in learned_from(file)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("-", "standard output is for results"),
        ("out.jsonl", "has another use"),
        ("other.toml", "does not come from an earlier --learn"),
        ("no/such/learned.toml", "its folder does not exist"),
        (".", "is not a regular file"),
    ],
)
def test_other_files_are_refused(server: Loopback, tmp_path: Path, path: str, said: str) -> None:
    """One line names the option, nothing is sent, and the file is as it was."""
    (tmp_path / "other.toml").write_text("[run]\nlimit = 3\n")
    file = path if path == "-" else str(tmp_path / path)
    args = ("-a", f"x={server.url('/x')}", "-o", str(tmp_path / "out.jsonl"), "--learn", file)
    done = run(*args, stdin=records(3))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"tmux-fanout: --learn: ")
    assert said in done.stderr.decode()
    assert server.bodies == []
    assert (tmp_path / "other.toml").read_text() == "[run]\nlimit = 3\n"

"""`--live FILE`: limits, rates and pauses that are taken from a file as it changes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest
import trio
from support.command import Process, lines, records, run, start
from support.loopback import Loopback

from tmux_fanout.cli.reporting.live import LiveFile
from tmux_fanout.cli.reporting.tuner import Tuner
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.engine.run.pipeline import Pipeline

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


class Live:
    """A file that is replaced as a whole.

    Args:
        folder: where it is.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "live.toml"

    def write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)


def said(process: Process) -> str:
    """Return the next line on standard error."""
    assert process.stderr
    return process.stderr.readline().decode()


@WORKERS
def test_limit_follows_the_file(server: Loopback, tmp_path: Path, workers: str) -> None:
    """A run begins with the limit of the file, quickens, pauses, and goes on as it began."""
    live = Live(tmp_path)
    live.write("limit = 2\n")
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(200))
    args = ("-a", f"x={server.url()}", "-l", "8", "--workers", workers, "--chunk-size", "10")
    with start(*args, "--live", str(live.path), str(source)) as process:
        assert said(process) == "tmux-fanout: --live: x: limit 2\n"
        server.await_requests(2)
        live.write("limit = 6\n")
        assert said(process) == "tmux-fanout: --live: x: limit 6\n"
        server.await_requests(4)
        assert server.peak == 6
        live.write("[api.x]\npaused = true\n")
        assert said(process) == "tmux-fanout: --live: x: limit 8, x: paused\n"
        live.path.unlink()
        assert said(process) == "tmux-fanout: --live: x: resumed\n"
        server.await_requests(2)
        assert server.peak == 8
        server.gate.set()
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert [line["ok"] for line in lines(out)] == [True] * 200
    assert server.peak == 8


@WORKERS
def test_limit_below_the_number_of_workers_is_exact(
    server: Loopback, tmp_path: Path, workers: str
) -> None:
    """All of them together make one call at a time."""
    live = Live(tmp_path)
    live.write("limit = 1\n")
    args = ("-a", f"x={server.url()}", "-q", "--workers", workers, "--chunk-size", "10")
    done = run(*args, "--live", str(live.path), stdin=records(60))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line["ok"] for line in lines(done.stdout)] == [True] * 60
    assert server.peak == 1


@WORKERS
def test_run_is_quickened_beyond_its_beginning(
    server: Loopback, tmp_path: Path, workers: str
) -> None:
    """The limit of the file is that of all workers together."""
    live = Live(tmp_path)
    live.write("limit = 2\n")
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(200))
    args = ("-a", f"x={server.url()}", "-l", "4", "--workers", workers, "--chunk-size", "10")
    with start(*args, "--live", str(live.path), str(source)) as process:
        assert said(process) == "tmux-fanout: --live: x: limit 2\n"
        server.await_requests(2)
        live.write("limit = 20\n")
        assert said(process) == "tmux-fanout: --live: x: limit 20\n"
        server.await_requests(18)
        assert server.peak == 20
        live.write("limit = 1\n")
        assert said(process) == "tmux-fanout: --live: x: limit 1\n"
        server.gate.set()
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert [line["ok"] for line in lines(out)] == [True] * 200
    assert server.peak == 20


@WORKERS
def test_paused_run_begins_no_call_and_can_be_stopped(
    server: Loopback, tmp_path: Path, workers: str
) -> None:
    """While an API is paused nothing is sent there, and a signal ends the run as ever."""
    live = Live(tmp_path)
    live.write("paused = true\n")
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(20))
    args = ("-a", f"x={server.url()}", "--workers", workers, "--drain-timeout", "100ms")
    with start(*args, "--live", str(live.path), str(source)) as process:
        assert said(process) == "tmux-fanout: --live: x: paused\n"
        live.write("paused = 1\n")
        assert "paused: use true or false" in said(process)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode == 143
    assert len(server.bodies) == 0
    assert {line["results"]["x"]["error"]["kind"] for line in lines(out)} == {"cancelled"}


def test_mistake_is_said_once_and_ignored(server: Loopback, tmp_path: Path) -> None:
    """The values before it hold, and a later version is taken over again."""
    live = Live(tmp_path)
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(20))
    with start(
        "-a", f"x={server.url()}", "-l", "4", "--live", str(live.path), str(source)
    ) as process:
        assert "live.toml': no such file yet; waiting for it" in said(process)
        server.await_requests(4)
        live.write("limit =\n")
        assert "live.toml': ignored: not TOML: " in said(process)
        live.write("limits = 3\n")
        assert "ignored: limits: unknown key" in said(process)
        live.write("[api.x]\nlimit = 3\n")
        assert said(process) == "tmux-fanout: --live: x: limit 3\n"
        server.gate.set()
        _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")


def test_empty_file_is_ignored(server: Loopback, tmp_path: Path) -> None:
    """A paused run is not resumed by a file that is opened first and written later."""
    path = tmp_path / "live.toml"
    path.write_text("paused = true\n")
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(20))
    with start("-a", f"x={server.url()}", "--live", str(path), str(source)) as process:
        assert said(process) == "tmux-fanout: --live: x: paused\n"
        with path.open("w") as file:
            assert "live.toml': ignored: empty; remove the file" in said(process)
            file.write("# all as before\n")
        assert said(process) == "tmux-fanout: --live: x: resumed\n"
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert [line["ok"] for line in lines(out)] == [True] * 20


async def test_change_is_taken_once_two_looks_agree(tmp_path: Path, autojump_clock: object) -> None:
    """What is there at the beginning is taken at once; a part of a file is not taken at all."""
    plan = plan_run([Api("a", "http://a.test/")], RunSettings(), {})
    path = tmp_path / "live.toml"
    path.write_text("limit = 2\n")
    said: list[str] = []
    tuner = Tuner(Mock(spec=Pipeline), plan, said.append)
    async with LiveFile(str(path), tuner, said.append).followed():
        assert said == ["--live: a: limit 2"]
        await trio.sleep(0.1)  # between two looks
        for text in ("", "limit = 3", "limit = 31\n", "limit = 31\npau"):
            path.write_text(text)
            await trio.sleep(0.25)
        path.write_text("limit = 31\npaused = true\n")
        await trio.sleep(1.0)
    assert said[1:] == ["--live: a: limit 31, a: paused"]


def test_quiet_run_follows_the_file_in_silence(server: Loopback, tmp_path: Path) -> None:
    """With -q nothing is said of the file."""
    live = Live(tmp_path)
    live.write("limit = 2\n")
    done = run("-a", f"x={server.url()}", "-q", "--live", str(live.path), stdin=records(50))
    assert (done.returncode, done.stderr) == (0, b"")
    assert server.peak <= 2

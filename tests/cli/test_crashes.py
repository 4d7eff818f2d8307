"""A process that is killed again and again, and gone on with each time, loses and doubles nothing.

TMUX_FANOUT_KILLS=200 in the environment asks for more kills than the suite has time for.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from support.command import PATIENCE, run, start
from support.loopback import Loopback
from support.outputs import without_times

KILLS = int(os.environ.get("TMUX_FANOUT_KILLS", "24"))
WINDOW = 24
STEP = 0.05  # seconds after which it is looked whether the process has ended by itself


class Job(NamedTuple):
    """A run and the file that it is to leave, times apart."""

    server: Loopback
    args: list[str]
    out: Path
    wanted: bytes

    def is_prefix(self) -> bool:
        """Whether all whole lines are those of an undisturbed run."""
        whole, _, _ = self.out.read_bytes().rpartition(b"\n")
        return self.wanted.startswith(without_times(whole))

    def run_until(self, requests: int) -> bool:
        """Go on until so many requests have come, and kill; False if the run had ended by then."""
        with start(*self.args, "-o", str(self.out), "--resume") as process:
            for _ in range(requests):
                while not self.server.arrived.acquire(timeout=STEP):
                    if process.poll() is not None:
                        assert process.returncode == 1, process.communicate()[1]
                        return False
            process.kill()
            process.wait(PATIENCE)
        return True


def job(server: Loopback, folder: Path, count: int, *args: str) -> Job:
    """Some records are none, and some are refused; the undisturbed run is done."""
    inputs = (b'{"id": %d' % i + (b"" if i % 11 == 10 else b"}") for i in range(count))
    source = folder / "in.jsonl"
    source.write_bytes(b"\n".join(inputs))
    server.replies["/"] = lambda body: (404 if body.endswith(b"7}") else 200, body)
    whole, out = folder / "whole", folder / "out"
    args = ("-q", "-a", f"x={server.url()}", *args, str(source))
    assert run(*args, "-o", str(whole)).returncode == 1
    sent = len(server.bodies)
    assert sent == sum(i % 11 != 10 for i in range(count))
    server.await_requests(sent)
    server.bodies.clear()
    return Job(server, list(args), out, without_times(whole.read_bytes()))


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments(server: Loopback, tmp_path: Path, seed: int) -> None:
    """Over several runs, each killed until it is done; its tail is cut at random bytes, too."""
    this = job(server, tmp_path, 300, "-l", "8", "--window", str(WINDOW))
    random = Random(seed)
    kills = runs = lost = 0
    while kills < KILLS // 2:
        this.out.write_bytes(b"")
        runs += 1
        while this.run_until(random.randint(0, 3 * WINDOW)):
            kills += 1
            assert this.is_prefix()
            content = this.out.read_bytes()
            kept = content[: max(0, len(content) - random.choice([0, random.randint(1, 400)]))]
            lost += content.count(b"\n") - kept.count(b"\n")
            this.out.write_bytes(kept)
        assert without_times(this.out.read_bytes()) == this.wanted
    assert len(server.bodies) <= runs * 300 + kills * WINDOW + lost


def test_killed_every_half_second(server: Loopback, tmp_path: Path) -> None:
    """6,000 records, the window as it is by default."""
    this = job(server, tmp_path, 6000)
    kills = 0
    while this.run_until(1000):
        kills += 1
        assert this.is_prefix()
    assert kills >= 5
    assert without_times(this.out.read_bytes()) == this.wanted
    assert len(server.bodies) <= 6000 + kills * 1024

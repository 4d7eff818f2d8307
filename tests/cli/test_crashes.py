"""A run that is killed and resumed over and over neither loses nor duplicates a record.

TMUX_FANOUT_KILLS=200 in the environment asks for more kills than the suite has time for.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from support.command import run, start
from support.loopback import Loopback
from support.outputs import without_times
from support.thoroughness import share_of

KILLS = int(os.environ.get("TMUX_FANOUT_KILLS", share_of(24)))
WINDOW = 24
STEP = 0.05  # seconds between checks whether the process has ended by itself


class Job(NamedTuple):
    """A run, and the output it should leave, with times set to 0."""

    server: Loopback
    args: list[str]
    out: Path
    expected: bytes

    def is_prefix(self) -> bool:
        """Return whether all complete lines are those of an undisturbed run."""
        whole, _, _ = self.out.read_bytes().rpartition(b"\n")
        return self.expected.startswith(without_times(whole))

    def run_until(self, requests: int) -> bool:
        """Resume and kill after so many requests; return False if the run ended before that."""
        with start(*self.args, "-o", str(self.out), "--resume") as process:
            for _ in range(requests):
                while not self.server.arrived.acquire(timeout=STEP):
                    if process.poll() is not None:
                        assert process.returncode == 1, process.communicate()[1]
                        return False
            process.kill()
            process.wait()
        return True


def job(server: Loopback, folder: Path, count: int, *args: str) -> Job:
    """Write an input with some invalid lines and refused records, and run it once."""
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
    """A run that is killed at random and loses random bytes of its output completes it."""
    resumable = job(server, tmp_path, 300, "-l", "8", "--window", str(WINDOW))
    random = Random(seed)
    kills = runs = lost = 0
    while kills < KILLS // 2:
        resumable.out.write_bytes(b"")
        runs += 1
        while resumable.run_until(random.randint(0, 3 * WINDOW)):
            kills += 1
            assert resumable.is_prefix()
            content = resumable.out.read_bytes()
            kept = content[: max(0, len(content) - random.choice([0, random.randint(1, 400)]))]
            lost += content.count(b"\n") - kept.count(b"\n")
            resumable.out.write_bytes(kept)
        assert without_times(resumable.out.read_bytes()) == resumable.expected
    assert len(server.bodies) <= runs * 300 + kills * WINDOW + lost


def test_killed_after_every_thousand_requests(server: Loopback, tmp_path: Path) -> None:
    """A run with the default window survives a kill after every 1,000 requests."""
    resumable = job(server, tmp_path, 6000)
    kills = 0
    while resumable.run_until(1000):
        kills += 1
        assert resumable.is_prefix()
    assert kills >= 5
    assert without_times(resumable.out.read_bytes()) == resumable.expected
    assert len(server.bodies) <= 6000 + kills * 1024

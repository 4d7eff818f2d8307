"""Kill, stop and continue the workers of real runs, and count what their server sees.

    PYTHONPATH=tests python -m support.siege [-n RUNS] [--workers N] [--seed N]

Each run has a limit of 64, every second one a rate of 300/s as well, and every third one an API
that must get no record twice.  A line for each run says what the server counted:

    peak      the most requests at the same time: never above 64
    burst     the most requests beyond 300 a second and a burst of 30, in any second.  A server
              that stood still itself gets what was sent meanwhile at once, so compare this with
    stall     the longest time for which this process stood still, and what it makes of that
    twice     the records that came more than once where they must not: none
    lines     those of the output that are missing, or come twice: none
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from bisect import bisect_left
from collections import Counter
from contextlib import suppress
from random import Random
from typing import NamedTuple

import trio
from support.command import lines, records, start
from support.processes import children_of
from support.server import Peer, response, serve

LIMIT, RATE, BURST = 64, 300, 30
_COUNT = 3000
_TICK = 0.005  # seconds
_PATIENCE = 300.0  # seconds


class Seen(NamedTuple):
    """What one run came to."""

    status: int | None
    peak: int
    burst: int
    stall: float
    twice: int
    lines: int
    acts: Counter[str]


class Site:
    """A server that counts."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.in_flight = self.peak = 0
        self.arrivals: list[float] = []
        self.ids: Counter[int] = Counter()
        self.stall = 0.0

    async def answer(self, peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            self.arrivals.append(trio.current_time())
            self.ids[json.loads(received.body)["id"]] += 1
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            await trio.sleep(self._random.uniform(0.05, 0.2))
            self.in_flight -= 1  # also if the client has gone meanwhile
            await peer.send(response())

    async def watch_itself(self) -> None:
        """Measure for how long this process stands still."""
        while True:
            before = trio.current_time()
            await trio.sleep(_TICK)
            self.stall = max(self.stall, trio.current_time() - before - _TICK)

    def burst(self) -> int:
        """Return how many requests came beyond rate and burst in the worst second."""
        ends = self.arrivals
        return max(
            last + 1 - bisect_left(ends, time - 1.0) - RATE - BURST
            for last, time in enumerate(ends)
        )


async def _harass(process: subprocess.Popen[bytes], random: Random, acts: Counter[str]) -> None:
    """Kill and stop children at random, one at a time."""
    while True:
        await trio.sleep(random.uniform(0.2, 1.5))
        children = children_of(process.pid)
        if not children:
            continue
        child = random.choice(children)
        act = random.choice(["kill", "kill", "stop", "stop", "long stop"])
        acts[act] += 1
        if act == "kill":
            _signal(child, signal.SIGKILL)
        else:
            _signal(child, signal.SIGSTOP)
            await trio.sleep(random.uniform(0.3, 2.0) if act == "stop" else 12.0)
            _signal(child, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


async def besiege(seed: int, workers: int) -> Seen:
    """Make one run, and return what was seen."""
    random = Random(seed)
    site = Site(random)
    acts: Counter[str] = Counter()
    args = ["--workers", str(workers), "-l", str(LIMIT), "--chunk-size", "10"]
    args += ["--rate", f"{RATE}/s"] * (seed % 2)
    args += ["--idempotent"] * (seed % 3 > 0)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, site.answer)
        nursery.start_soon(site.watch_itself)
        with trio.fail_after(_PATIENCE):
            process = start("-a", f"x={server.url}", *args)
            nursery.start_soon(_harass, process, random, acts)
            out, _ = await trio.to_thread.run_sync(
                process.communicate, records(_COUNT), abandon_on_cancel=True
            )
        nursery.cancel_scope.cancel()
    ids = Counter(line["record"]["id"] for line in lines(out))
    return Seen(
        process.returncode,
        site.peak,
        site.burst() if seed % 2 else 0,
        site.stall,
        0 if seed % 3 else sum(number > 1 for number in site.ids.values()),
        _COUNT - len(ids) + sum(number - 1 for number in ids.values()),
        acts,
    )


def main() -> None:
    """Make the runs, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("-n", "--runs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for seed in range(options.seed, options.seed + options.runs):
        seen = trio.run(besiege, seed, options.workers)
        stall = f"stall {seen.stall:.3f} s ({seen.stall * RATE:.0f})"
        counted = f"peak {seen.peak}, burst {seen.burst:+}, {stall}, twice {seen.twice}"
        acts = ", ".join(f"{number} x {act}" for act, number in seen.acts.items())
        sys.stdout.write(f"{seed:3}: {counted}, lines {seen.lines}, status {seen.status}; {acts}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

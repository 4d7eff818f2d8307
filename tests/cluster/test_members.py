"""Members that die, stand still and join: nothing is lost, and limits hold."""

from __future__ import annotations

import json
import os
import signal
import time
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.command import PATIENCE, lines, records, start
from support.dask import Dask, Slowly, await_end
from support.loopback import Loopback

LIMIT = 8


class Run:
    """A run on a cluster, whose progress the server shows.

    Attributes:
        replies: what the server answers.
    """

    def __init__(self, cluster: Dask, server: Loopback, folder: Path, *args: str) -> None:
        source = folder / "records.jsonl"
        source.write_bytes(records(600))
        usual = ("-a", f"x={server.url()}", "-l", str(LIMIT), "-v", "--chunk-size", "20")
        self.replies = server.replies["/"] = Slowly()
        self.server = server
        self.process = start(*usual, *args, str(source), *cluster.option)

    def await_requests(self, count: int) -> None:
        """Wait until so many requests have arrived, from the start of the run."""
        while len(self.server.bodies) < count:
            assert self.server.arrived.acquire(timeout=PATIENCE), self.process.poll()

    def await_notice(self, end: str) -> None:
        """Wait for a notice that ends like this."""
        assert self.process.stderr
        while not (line := self.process.stderr.readline().decode()).endswith(end):
            assert line, "the run has ended"

    def end(self) -> tuple[list[dict[str, Any]], str]:
        """Return the lines of the output, and standard error."""
        out, err = self.process.communicate()
        return lines(out), err.decode()

    def ids(self) -> list[int]:
        return [json.loads(body)["id"] for body in self.server.bodies]


def calling(cluster: Dask) -> tuple[int, int]:
    """Return a worker and its child that makes calls; a busy machine may keep others from it."""
    children = [(each.process.pid, pid) for each in cluster.workers for pid in each.children()]
    return next((worker, child) for worker, child in children if connections_of(child))


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_repeatable_records_survive_a_death(
    two: Dask, server: Loopback, tmp_path: Path, victim: str
) -> None:
    """What a dead member had is dealt again, and no more is in flight than the limit."""
    run = Run(two, server, tmp_path, "--idempotent")
    run.await_requests(100)
    worker, child = calling(two)
    os.kill(child if victim == "child" else worker, signal.SIGKILL)
    output, notices = run.end()
    assert run.process.returncode == 0
    assert [line["index"] for line in output] == list(range(600))
    assert notices.count(" died") == 1
    assert set(run.ids()) == set(range(600))
    assert run.replies.peak <= LIMIT
    await_end(child)


@pytest.mark.parametrize("victim", ["worker", "child"])
def test_nothing_is_sent_twice_that_must_not_be(
    two: Dask, server: Loopback, tmp_path: Path, victim: str
) -> None:
    """What may have been sent is ambiguous; where the child alone died, that is what was sent."""
    server.gate.clear()
    run = Run(two, server, tmp_path)
    run.await_requests(LIMIT)
    worker, child = calling(two)
    os.kill(child if victim == "child" else worker, signal.SIGKILL)
    run.await_notice(" cancelled\n")
    server.gate.set()
    output, _ = run.end()
    assert run.process.returncode == 1
    assert [line["index"] for line in output] == list(range(600))
    ids = run.ids()
    assert len(ids) == len(set(ids))
    failed = [line for line in output if not line["ok"]]
    assert 0 < len(failed) <= (2 * LIMIT if victim == "worker" else LIMIT)
    errors = [line["results"]["x"]["error"] for line in failed]
    assert all(error["kind"] == "cancelled" and error["ambiguous"] for error in errors)
    sent = {line["index"] for line in output if line["ok"]}
    assert sent <= set(ids)


def test_nobody_is_buried_who_stood_still(two: Dask, server: Loopback, tmp_path: Path) -> None:
    """A worker, a child and the command itself stop for a while, and all go on."""
    run = Run(two, server, tmp_path, "--idempotent", "--limit", "4")
    run.await_requests(50)
    [child] = two.workers[1].children()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        two.workers[0].send(number)
        os.kill(child, number)
        run.process.send_signal(number)
        time.sleep(9 if number == signal.SIGSTOP else 0)  # nearly a lease
    output, notices = run.end()
    assert (run.process.returncode, len(output)) == (0, 600)
    assert "died" not in notices
    assert sorted(run.ids()) == list(range(600))
    assert run.replies.peak <= 4


def test_those_that_stand_by_take_the_place_of_the_dead(
    two: Dask, server: Loopback, tmp_path: Path
) -> None:
    """With more members than slots, some have nothing to do until another dies."""
    two.join()
    two.await_workers(3)
    run = Run(two, server, tmp_path, "--idempotent", "--limit", "2")
    run.await_requests(50)
    for requests, worker in zip((150, 250), two.workers):
        worker.send(signal.SIGKILL)
        run.await_requests(requests)
    output, notices = run.end()
    assert run.process.returncode == 0
    assert [line["index"] for line in output] == list(range(600))
    assert notices.count(" died") == 2
    assert run.replies.peak <= 2
    assert set(run.ids()) == set(range(600))


def test_a_worker_that_comes_takes_part(two: Dask, server: Loopback) -> None:
    """It gets a share of the limits and some of the records."""
    two.workers.pop().end()
    replies = server.replies["/"] = Slowly()
    args = ("-a", f"x={server.url()}", "-l", str(LIMIT), "-v", "--idempotent", *two.option)
    with start(*args) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(records(100))
        process.stdin.flush()
        server.await_requests(100)
        another = two.join()
        while not process.stderr.readline().endswith(b" came\n"):
            assert process.poll() is None
        [child] = another.children()
        process.stdin.write(records(300, 100))
        process.stdin.close()
        process.stdin = None
        deadline = time.monotonic() + PATIENCE
        while not connections_of(child) and process.poll() is None:
            assert time.monotonic() < deadline
        output, _ = process.communicate()
    assert (process.returncode, len(lines(output))) == (0, 400)
    assert replies.peak <= LIMIT


def connections_of(pid: int) -> int:
    """Return the number of connections of a process, which a child has only for its calls."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    connections = {f"socket:[{line.split()[9]}]" for line in table}
    found = 0
    with suppress(FileNotFoundError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                found += os.readlink(f"/proc/{pid}/fd/{name}") in connections
    return found


def test_a_rate_holds_through_deaths_stops_and_joins(
    two: Dask, server: Loopback, tmp_path: Path
) -> None:
    """In no second there are more attempts than the rate allows, and its burst."""
    run = Run(two, server, tmp_path, "--idempotent", "--rate", "100/s")
    run.await_requests(60)
    two.workers[1].send(signal.SIGSTOP)
    run.await_requests(150)
    two.workers[0].send(signal.SIGKILL)
    two.workers[1].send(signal.SIGCONT)
    two.join()
    output, _ = run.end()
    assert (run.process.returncode, len(output)) == (0, 600)
    assert run.replies.peak <= LIMIT
    times = run.replies.times
    counts = [bisect_right(times, at + 1.0) - first for first, at in enumerate(times)]
    assert max(counts) <= 100 + 10 + LIMIT  # those that wait in the server's threads come late


def test_a_nanny_restarts_its_worker(two: Dask, server: Loopback, tmp_path: Path) -> None:
    """All workers die; the one with a nanny comes again, and the run goes on."""
    two.workers.pop().end()
    two.workers.pop().end()
    nanny = two.join("--nanny")
    two.await_workers(3)
    run = Run(two, server, tmp_path, "--idempotent")
    run.await_requests(100)
    for pid in nanny.children():
        os.kill(pid, signal.SIGKILL)
    output, notices = run.end()
    assert (run.process.returncode, len(output)) == (0, 600)
    assert "no worker is left: waiting for another" in notices


def test_without_its_scheduler_a_run_ends(two: Dask, server: Loopback, tmp_path: Path) -> None:
    """Every record has its line, so that --resume goes on; the workers leave without it, too."""
    server.gate.clear()
    run = Run(two, server, tmp_path, "--idempotent")
    run.await_requests(LIMIT)
    two.scheduler.kill()
    output, _ = run.end()
    assert run.process.returncode == 1
    assert len(output) == 600
    assert {line["results"]["x"]["error"]["kind"] for line in output} == {"cancelled"}

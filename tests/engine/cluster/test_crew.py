"""Who takes part in a run on a cluster: first members, those that come, and those that are lost."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.dealing.shares import shared_limits
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.engine.cluster import crew as crew_module
from tmux_fanout.engine.cluster.crew import ClusterCrew
from tmux_fanout.engine.cluster.remote import End, Remote, Started
from tmux_fanout.engine.workers.assignment import WorkerJob
from tmux_fanout.engine.workers.member.sent_flags import FlagsMemory, SentFlags
from tmux_fanout.engine.workers.worker import Worker

APIS = [Api("x", "http://a.example/"), Api("y", "http://b.example/", limit=9)]
JOB = WorkerJob(APIS, RunSettings(), 1, "body", False, 1, 1.0, 64, True)
LIMITS = shared_limits(plan_run(APIS, RunSettings(), {}))


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


class FakeRelay:
    """Answers `receive` with what a test puts into `answers`, and else not at all."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.calls: list[str] = []

    def receive(self, linger: float) -> Future[Any]:
        return done(self.answers.pop(0)) if self.answers else Future()

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> Future[None]:
            self.calls.append(name)
            return done(None)

        return call


class FakeCluster:
    """A cluster whose addresses a test sets.

    Attributes:
        there: the addresses; None: the scheduler does not answer.
        refusals: by address.
        busy: addresses where no child can be started.
        relays: of the children that were started, by address.
    """

    def __init__(self, *there: str) -> None:
        self.there: Collection[str] | None = there
        self.refusals: dict[str, str] = {}
        self.busy: set[str] = set()
        self.relays: dict[str, FakeRelay] = {}
        self.is_closed = False

    def members(self) -> Future[Collection[str]]:
        return done(OSError("gone") if self.there is None else self.there)

    def start(
        self, address: str, assignment: bytes, flags: tuple[int, int] | None
    ) -> Future[Started]:
        assert flags == (64, 2)
        if address in self.busy:
            return done(OSError("timed out"))
        if address in self.refusals:
            return done(Started(None, self.refusals[address]))
        relay = self.relays[address] = FakeRelay()
        return done(Started(relay))

    def close(self) -> None:
        self.is_closed = True


def gathered(cluster: FakeCluster, max_sent: int | None = None) -> ClusterCrew:
    crew = ClusterCrew(cluster, JOB, LIMITS, max_sent=max_sent)
    crew.gather(lambda: None, waits_for_all=False)
    return crew


def names(workers: Collection[Worker]) -> list[str]:
    return [worker.name for worker in workers]


def test_first_members_are_those_that_are_ready() -> None:
    """Others are named with their reason."""
    cluster = FakeCluster("tcp://a:1", "tls://b:2", "tcp://c:3")
    cluster.refusals["tls://b:2"] = "API 'x': no\nkey"
    crew = gathered(cluster, max_sent=20)
    assert names(crew.first()) == ["a:1", "c:3"]
    assert list(crew.refused()) == ["b:2: API 'x': no\\x0akey"]
    assert crew.job.workers == 3
    assert crew.max_open == 10
    assert gathered(FakeCluster("tcp://a:1")).max_open is None


def test_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "_GATHERING", 0.0)
    with pytest.raises(ConfigError, match="no worker is ready within 0 s: start some with"):
        gathered(FakeCluster())
    cluster = FakeCluster()
    cluster.there = None
    with pytest.raises(ConfigError, match="cluster: the scheduler does not answer: gone"):
        gathered(cluster)


class Watched:
    """A crew that is watched in virtual time."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.crew = gathered(cluster)
        self.came: list[Worker] = []
        self.notices: list[str] = []
        self.has_ended = False

    async def watch(self) -> None:
        await self.crew.watch(self.came.append, self.notices.append)
        self.has_ended = True


async def test_a_worker_that_comes_is_employed(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Whoever refuses is told of once."""
    cluster = FakeCluster("tcp://a:1")
    cluster.refusals["tcp://c:3"] = "tmux-fanout is not installed there"
    watched = Watched(cluster)
    nursery.start_soon(watched.watch)
    await trio.sleep(1)
    cluster.there = ["tcp://a:1", "tcp://b:2", "tcp://c:3"]
    await trio.sleep(5)
    assert names(watched.came) == ["b:2"]
    told = ["b:2 came", "c:3: tmux-fanout is not installed there; it is left out"]
    assert watched.notices == told


async def test_a_busy_worker_is_asked_again(nursery: trio.Nursery, autojump_clock: object) -> None:
    """That is told once, however often it fails."""
    cluster = FakeCluster("tcp://a:1")
    watched = Watched(cluster)
    nursery.start_soon(watched.watch)
    cluster.there, cluster.busy = ["tcp://a:1", "tcp://b:2"], {"tcp://b:2"}
    await trio.sleep(100)
    cluster.busy.clear()
    await trio.sleep(40)
    assert names(watched.came) == ["b:2"]
    why = "b:2: no process can be started there: timed out; it is left out"
    assert watched.notices == [why, "b:2 came"]


async def test_a_failed_look_says_nothing_about_members(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Neither a scheduler without an answer nor one that does not list a member ends it."""
    cluster = FakeCluster("tcp://a:1")
    watched = Watched(cluster)
    nursery.start_soon(watched.watch)
    for there in (None, ()):
        cluster.there = there
        await trio.sleep(100)
    assert (watched.notices, watched.has_ended) == ([], False)
    assert "stop" not in cluster.relays["tcp://a:1"].calls


async def test_silence_counts_only_while_somebody_listens(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """After two leases without a word a member is lost, and its reports end."""
    cluster = FakeCluster("tcp://a:1")
    watched = Watched(cluster)
    nursery.start_soon(watched.watch)
    relay = cluster.relays["tcp://a:1"]
    [remote] = watched.crew._remotes.values()
    await trio.sleep(60)  # nobody listens
    relay.answers = [(b"one", None), (b"", None), (b"two", None)]
    assert await remote.receive() == b"one"
    assert await remote.receive() == b"two"
    began = trio.current_time()
    assert await remote.receive() == b""
    assert 20 <= trio.current_time() - began <= 21
    assert remote.wait() is None
    assert remote.read() is None  # what it may have sent is not known


async def test_nobody_is_lost_while_this_process_stands_still(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    """However long it stood still, before it has listened again for as long as for any other."""
    cluster = FakeCluster("tcp://a:1")
    watched = Watched(cluster)
    nursery.start_soon(watched.watch)
    [remote] = watched.crew._remotes.values()
    received: list[bytes] = []

    async def receive() -> None:
        received.append(await remote.receive())

    nursery.start_soon(receive)
    for _ in range(30):
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1000)  # as after SIGSTOP, or a suspension
    await trio.testing.wait_all_tasks_blocked()
    assert (received, remote.silence) == ([], 30)
    assert "stop" not in cluster.relays["tcp://a:1"].calls


async def test_places_of_the_dead_are_filled(nursery: trio.Nursery, autojump_clock: object) -> None:
    """At once the first time, then after pauses, and in the end not any more."""
    cluster = FakeCluster("tcp://a:1", "tcp://b:2")
    watched = Watched(cluster)
    nursery.start_soon(watched.watch)
    worker = watched.crew.first()[0]
    for _ in range(12):
        watched.crew.replacement(worker)
        await trio.sleep(6)
        assert watched.came or _ == 11
        if watched.came:
            worker = watched.came.pop()
            assert worker.name == "a:1"
    assert list(watched.crew.refused()) == ["a:1: it has died too often"]


async def test_without_members_a_run_waits_for_a_minute(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """It waits for none if the scheduler is gone, too."""
    for there, seconds in (((), 60), (None, 1)):
        cluster = FakeCluster("tcp://a:1")
        watched = Watched(cluster)
        watched.crew.replacement(watched.crew.first()[0])
        cluster.there = there
        began = trio.current_time()
        await watched.watch()
        assert trio.current_time() - began == pytest.approx(seconds, abs=1)
        assert len(watched.notices) == 1


async def test_lost_connection_and_end_of_a_child(autojump_clock: object) -> None:
    """The status and the sent flags of a child come with its end; without it they are unknown."""
    memory = FlagsMemory(4, 2)
    SentFlags(memory.fd, 4, 2).set(7, 1)
    relay = FakeRelay()
    remote = Remote(relay, 2, [0])
    relay.answers = [(b"", End(-9, memory.content()))]
    memory.close()
    assert await remote.receive() == b""
    assert remote.wait() == -9
    assert remote.read() == {7: [False, True]}
    broken = Remote(relay, 2, [0])
    relay.answers = [OSError("lost")]
    assert await broken.receive() == b""
    assert (broken.wait(), broken.read()) == (None, None)
    with pytest.raises(BrokenPipeError):
        await broken.child.to.send(b"order")


async def test_kill_ends_whoever_waits(nursery: trio.Nursery, autojump_clock: object) -> None:
    relay = FakeRelay()
    remote = Remote(relay, 2, [0])

    async def kill() -> None:
        await trio.sleep(1)
        remote.kill()
        remote.kill()

    nursery.start_soon(kill)
    assert await remote.child.from_.receive() == b""
    assert relay.calls == ["stop"]


async def test_cancelled_wait_leaves_nothing_behind(autojump_clock: object) -> None:
    relay = FakeRelay()
    remote = Remote(relay, 2, [0])
    with trio.move_on_after(1):
        await remote.receive()
    assert remote._pending == set()

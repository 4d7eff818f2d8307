"""Who takes part in a run on a cluster, from the first members to the last.

A member is lost when its relay cannot be reached, or when it has said nothing for two leases while
it was listened to.  That is counted in ticks of this process: if it stands still itself, on a busy
machine or stopped, no time passes for the others.  The scheduler is asked only for who has come: a
look at it that fails says nothing about the members.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from itertools import count

import trio

from tmux_fanout.core.dealing.restarts import restart_delay
from tmux_fanout.core.dealing.shares import SharedLimit
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.sharing.holder import LEASE, Holder
from tmux_fanout.core.sharing.lease import Grant
from tmux_fanout.core.text import printable
from tmux_fanout.engine.cluster.remote import Cluster, Remote, Started, wait_for
from tmux_fanout.engine.workers.assignment import Assignment, WorkerJob, encode_assignment
from tmux_fanout.engine.workers.worker import Worker

_TICK = 0.5  # seconds
_MAX_SILENCE = round(2 * LEASE / _TICK)  # ticks
_MAX_VACANCY = round(60 / _TICK)  # ticks without any member, after which the run is given up
_RETRY = round(30 / _TICK)  # ticks until a Dask worker that was too busy is asked again
_GATHERING = 30.0  # seconds for the first member
_STRAGGLING = 5.0  # seconds for the others, once there is one
_POLL = 0.05


class ClusterCrew:
    """The members of a cluster that take part in a run.

    Args:
        cluster: where they are.
        job: what they do.
        limits: what they share.
        max_sent: how many records that must not be repeated all members may have together, as it
            is not known which of those were sent that a lost member had; None: any number.

    Attributes:
        job, holder, reply_timeout: see `Crew`.
    """

    reply_timeout = 3.0  # a message takes longer than through a pipe

    def __init__(
        self,
        cluster: Cluster,
        job: WorkerJob,
        limits: Sequence[SharedLimit],
        *,
        max_sent: int | None,
    ) -> None:
        self.job = job
        self.holder = Holder[Worker]([limit.amount for limit in limits])
        self._cluster = cluster
        self._no_share = Grant(0, (0,) * len(limits), LEASE, 0.0)
        self._max_sent = max_sent
        self._flags = (job.slots, len(job.apis)) if job.tracks_sent else None
        self._indexes = count()
        self._starting: dict[str, Future[Started]] = {}
        self._remotes: dict[str, Remote] = {}
        self._refusals: dict[str, str] = {}  # by address
        self._deaths: Counter[str] = Counter()  # in a row, of children that did nothing
        self._waits: dict[str, int] = {}  # ticks until another is started at an address
        self._first: list[Worker] = []

    def __repr__(self) -> str:
        return f"<ClusterCrew: {list(self._remotes)}, {len(self._starting)} starting>"

    def gather(self, check: Callable[[], object], *, waits_for_all: bool) -> None:
        """Wait for the first members, outside of the event loop; all may refuse.

        Args:
            check: called again and again; what it raises ends the waiting.
            waits_for_all: whether to wait for members that take longer than others.

        Raises:
            ConfigError: none comes in time.
        """
        began = time.monotonic()
        while True:
            check()
            self._start_at(self._look_now())
            concurrent.futures.wait(self._starting.values(), _POLL)
            for worker in self._started():
                self._first.append(worker)
                self.holder.join(worker)  # so that not even the first to ask is granted everything
            waited = time.monotonic() - began
            if not self._starting and (self._first or self._refusals):
                return
            if self._first and waited > (_GATHERING if waits_for_all else _STRAGGLING):
                return
            if waited > _GATHERING:
                why = f"no worker is ready within {_GATHERING:.0f} s: start some with `dask worker`"
                raise ConfigError(why, key="cluster")

    def _look_now(self) -> Collection[str]:
        try:
            return self._cluster.members().result()
        except OSError as exc:
            raise ConfigError(f"the scheduler does not answer: {exc}", key="cluster") from exc

    @property
    def max_open(self) -> int | None:
        """See `Crew`."""
        return self._max_sent and max(1, self._max_sent // max(1, len(self._remotes)))

    def first(self) -> Sequence[Worker]:
        return self._first

    def replacement(self, worker: Worker) -> None:
        """Allow for another child at the address of one that died; `watch` starts it."""
        address = next(at for at in self._remotes if _name(at) == worker.name)
        del self._remotes[address]
        self._deaths[address] = 0 if worker.has_answered else self._deaths[address] + 1
        delay = restart_delay(self._deaths[address])
        if delay is None:
            self._refusals[address] = "it has died too often"
        else:
            self._waits[address] = round(delay / _TICK)

    async def watch(
        self, employ: Callable[[Worker], object], notify: Callable[[str], object]
    ) -> None:
        """Watch who comes and who is lost; return once nobody is left and nobody comes."""
        told: set[str] = set()
        vacancy = 0
        while vacancy < _MAX_VACANCY:
            for refusal in self.refused():
                if refusal not in told:
                    told.add(refusal)
                    notify(f"{refusal}; it is left out")
            await trio.sleep(_TICK)
            self._count_silence()
            try:
                there = await wait_for(self._cluster.members())
            except OSError:
                if not self._remotes:
                    notify("the scheduler of the cluster does not answer any more")
                    return
                there = ()
            self._start_at(there)
            for worker in self._started():
                employ(worker)
                if self.job.verbose:
                    notify(f"{worker.name} came")
            vacancy = 0 if self._remotes else vacancy + 1
            if vacancy == 1:
                notify("no worker is left: waiting for another")

    def _count_silence(self) -> None:
        for remote in self._remotes.values():
            remote.tick()
            if remote.silence > _MAX_SILENCE:
                remote.lose()
        for address, ticks in list(self._waits.items()):
            self._waits[address] = ticks - 1
            if ticks <= 1:
                del self._waits[address]
                self._refusals.pop(address, None)

    def _start_at(self, there: Collection[str]) -> None:
        """Start a child at each of these addresses where there is none, and may be one."""
        known = self._remotes.keys() | self._starting.keys() | self._refusals.keys()
        coming = [each for each in there if each not in known and each not in self._waits]
        if not known and coming:
            self.job = self.job._replace(workers=len(coming))
        for address in coming:
            assignment = encode_assignment(Assignment(self.job, self._no_share))
            self._starting[address] = self._cluster.start(address, assignment, self._flags)

    def _started(self) -> Iterator[Worker]:
        """Yield a worker for each child that is ready by now; note who refuses."""
        for address, future in list(self._starting.items()):
            if not future.done():
                continue
            del self._starting[address]
            try:
                relay, refusal = future.result()
            except OSError as exc:
                relay, refusal = None, f"no process can be started there: {exc}"
                self._waits[address] = _RETRY
            if relay is None:
                self._refusals[address] = refusal
                continue
            remote = Remote(relay, len(self.job.apis), self._remotes)
            self._remotes[address] = remote
            flags = remote if self._flags else None
            yield Worker(self.job, next(self._indexes), _name(address), remote.child, flags=flags)

    def refused(self) -> Iterator[str]:
        """Yield a line for each address that has refused."""
        for address, refusal in self._refusals.items():
            yield f"{_name(address)}: {printable(refusal)}"


def _name(address: str) -> str:
    """Return an address without its protocol."""
    return address.rpartition("://")[2]

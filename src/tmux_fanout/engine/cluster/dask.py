"""Children on the workers of a Dask cluster.

Each Dask worker that takes part has an actor, which starts a child process there and relays what
its pipes bring.  It has a direct connection to the driver, so neither records nor results pass
through the scheduler.  The child is a process of its own, as Dask's worker has one event loop and
one interpreter for everything that happens there.

A child must not outlive the run, whatever happens to the process that deals the records: Dask
releases the actor of a client that has gone, the relay ends by itself if it hears nothing, and the
child ends with the relay's process, which holds its pipes.
"""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Awaitable, Callable, Collection, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from distributed import Client, Security, get_worker
from distributed.comm import connect
from distributed.protocol import to_serialize

from tmux_fanout.core.version import __version__
from tmux_fanout.engine.cluster.relay import ChildRelay, serve
from tmux_fanout.engine.cluster.remote import End, Started

T = TypeVar("T")

_LOOK_TIMEOUT = 10.0  # seconds for the scheduler to say who is there
_START_TIMEOUT = 30.0  # seconds for a Dask worker to start a child; its threads may all be busy
_STOP_TIMEOUT = 2.0


class RelayActor:
    """A relay on a Dask worker; it ends when Dask releases it, as the driver has gone."""

    def __init__(self) -> None:
        self._relay = ChildRelay()

    def __repr__(self) -> str:
        return f"<RelayActor: {self._relay!r}>"

    async def start(self, name: str, assignment: bytes, flags: tuple[int, int] | None) -> str:
        """Start the child; return why it cannot do its job, or "" once it is ready.

        Args:
            name: of the operation of this Dask worker by which the driver connects, once.
            assignment, flags: see `Cluster.start`.
        """
        refusal = await self._relay.start(assignment, flags)
        if not refusal:
            _offer(get_worker().handlers, name, weakref.ref(self._relay))
        return refusal

    async def stop(self) -> None:
        """Kill the child."""
        self._relay.kill()


def _offer(handlers: dict[str, Any], name: str, relay: weakref.ref[ChildRelay]) -> None:
    async def connected(comm: Any) -> None:
        del handlers[name]
        await serve(relay, comm)

    handlers[name] = connected


class DaskRelay:
    """An actor on a Dask worker, as the driver sees it.

    Reports and orders have a connection of their own: calls of an actor's methods would cost this
    process three times as much.  Each report is asked for, so that none comes while there is no
    room for it.

    Args:
        cluster: where it is.
        address: of the Dask worker.
        key: of the actor.
        release: lets go of the actor.
    """

    def __init__(
        self, cluster: DaskCluster, address: str, key: str, release: Callable[[], object]
    ) -> None:
        self._cluster = cluster
        self._address = address
        self._key = key
        self._release = release
        self._comm: Any = None
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"<DaskRelay at {self._address}>"

    async def start(self, assignment: bytes, flags: tuple[int, int] | None) -> str:
        """Start the child, in the thread of the cluster; return why it refuses, or ""."""
        client = self._cluster.client
        if refusal := str(await self._call("start", self._key, assignment, flags)):
            return refusal
        self._comm = await connect(self._address, **client.connection_args)
        await self._comm.write({"op": self._key, "reply": False})
        return ""

    def receive(self, linger: float) -> Future[tuple[bytes, End | None]]:
        return self._cluster.run(self._receive(linger))

    async def _receive(self, linger: float) -> tuple[bytes, End | None]:
        await self._comm.write([b"", linger, False])
        data, end = await self._comm.read()
        return bytes(data), end and End(*end)

    def send(self, data: bytes) -> Future[None]:
        return self._cluster.run(self._comm.write([data, None, False]))

    def close(self) -> Future[None]:
        return self._cluster.run(self._comm.write([b"", None, True]))

    def greet(self) -> Future[None]:
        return self.send(b"")

    def stop(self) -> Future[None]:
        return self._cluster.run(self.stop_now())

    async def stop_now(self) -> None:
        """Kill the child, in the thread of the cluster."""
        if self._is_stopped:
            return
        self._is_stopped = True
        try:
            self._comm.abort()
            # It may be there although its connection is not.
            await asyncio.wait_for(self._call("stop"), _STOP_TIMEOUT)
        finally:
            self._release()

    async def _call(self, method: str, *args: Any) -> Any:
        """Call a method of the actor.

        Dask's own proxies of actors wait for ever when a worker is lost, for another worker to take
        its place.
        """
        worker: Any = self._cluster.client.rpc(self._address)
        reply = await worker.actor_execute(
            function=method, actor=self._key, args=[to_serialize(arg) for arg in args], kwargs={}
        )
        if reply["status"] != "OK":
            raise reply["exception"]
        return reply["result"]


class DaskCluster:
    """The workers of a Dask cluster.

    Args:
        address: of its scheduler.

    Attributes:
        client: of the scheduler.

    Raises:
        OSError: the scheduler cannot be reached, within the time that Dask's settings give.
    """

    def __init__(self, address: str) -> None:
        self._relays: dict[DaskRelay, None] = {}
        _check_tls(address)
        self.client: Any = Client(
            address,
            set_as_default=False,
            direct_to_workers=True,
            name="tmux-fanout",
        )

    def __repr__(self) -> str:
        return f"<DaskCluster: {list(self._relays)}>"

    def run(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the thread of the cluster; whatever it raises becomes an OSError."""
        return asyncio.run_coroutine_threadsafe(_reachable(call), self.client.loop.asyncio_loop)

    def members(self) -> Future[Collection[str]]:
        return self.run(asyncio.wait_for(self._members(), _LOOK_TIMEOUT))

    async def _members(self) -> Collection[str]:
        # Not `Client.scheduler_info()`, which may know the first five only.
        return list(await self.client.scheduler.ncores(workers=None))

    def start(
        self, address: str, assignment: bytes, flags: tuple[int, int] | None
    ) -> Future[Started]:
        return self.run(asyncio.wait_for(self._start(address, assignment, flags), _START_TIMEOUT))

    async def _start(
        self, address: str, assignment: bytes, flags: tuple[int, int] | None
    ) -> Started:
        if refusal := await self._check_version(address):
            return Started(None, refusal)
        future = self.client.submit(
            RelayActor,
            actor=True,
            key=f"tmux-fanout-{uuid.uuid4().hex}",
            workers=[address],
            allow_other_workers=False,
        )
        relay = DaskRelay(self, address, future.key, future.release)
        try:
            await future
            refusal = await relay.start(assignment, flags)
        except BaseException:
            future.release()
            raise
        if refusal:
            future.release()
            return Started(None, refusal)
        self._relays[relay] = None
        return Started(relay)

    async def _check_version(self, address: str) -> str:
        """Return why a version is unsuitable; "" if it is ours."""
        # A function of the standard library: nothing of ours need be there.
        found = await self.client.run(version, "tmux-fanout", workers=[address], on_error="return")
        there = found.get(address)
        if there == __version__:
            return ""
        if isinstance(there, str):
            return f"tmux-fanout {there} is there, and {__version__} here: install the same"
        if isinstance(there, PackageNotFoundError):
            return f"tmux-fanout is not installed there: install {__version__}"
        raise OSError(f"no answer: {there!r}")

    def close(self) -> None:
        with suppress(OSError):
            self.run(self._stop_all()).result(2 * _STOP_TIMEOUT)
        self.client.close(timeout=_STOP_TIMEOUT)

    async def _stop_all(self) -> None:
        stops = [relay.stop_now() for relay in self._relays]
        await asyncio.gather(*stops, return_exceptions=True)


def _check_tls(address: str) -> None:
    """Check that Dask has certificates, without which its client would not even end."""
    is_tls = address.startswith("tls://")
    if is_tls and not Security().get_connection_args("client").get("ssl_context"):
        raise OSError("no certificates: set those under distributed.comm.tls in Dask's settings")


async def _reachable(call: Awaitable[T]) -> T:
    """Translate the errors of a call: whatever they are, the cluster did not do it."""
    try:
        return await call
    except OSError:
        raise
    except Exception as exc:
        raise OSError(f"{type(exc).__name__}: {exc}") from exc

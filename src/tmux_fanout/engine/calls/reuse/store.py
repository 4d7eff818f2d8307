"""The caches of a run: each a file that is read and written in a thread, many answers at a time.

While the thread is busy with some answers, more are asked for and stored, and the next exchange is
for all of these; so a slow disk makes for larger exchanges.  What cannot be written in time is not
kept: a cache is a convenience, and the run does not wait for it.  For the same reason a cache that
fails is left alone from then on, with one notice, and all calls make their requests.

Answers fill the window as responses do, so they are read only as far as it has room for them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.text import printable
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.reuse.stored import CacheError, Stored

MAX_PENDING = 16 << 20  # bytes of answers that wait to be written
_WRITE_AFTER = 0.5  # seconds
_OPEN_WITHIN = 12.0  # seconds
_CLOSE_WITHIN = 10.0  # seconds, at the end of a run

Found = Callable[[Stored | None], None]


class _Asked(NamedTuple):
    key: bytes
    found: Found
    then: Callable[[], object]
    may_read: Callable[[], bool]


class File(Protocol):
    """What a `Store` needs of a `Database`."""

    @property
    def salt(self) -> bytes: ...
    def exchange(
        self,
        now: float,
        stored: Mapping[bytes, bytes],
        used: Sequence[bytes],
        keys: Sequence[bytes],
    ) -> dict[bytes, Stored | None]: ...
    def close(self) -> None: ...


class Store:
    """One cache, which several APIs may use.

    Args:
        file: its file, open.
        shown: its folder, for messages.
        notify: called with one line if it fails.
        clock: returns seconds since 1970.

    Attributes:
        is_off: whether it has failed.
        salt: of its keys.
    """

    def __init__(
        self,
        file: File,
        shown: str,
        notify: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.is_off = False
        self.salt = file.salt
        self._file = file
        self._shown = shown
        self._notify = notify
        self._clock = clock
        self._threads = trio.CapacityLimiter(1)
        self._asked: list[_Asked] = []
        self._stored: dict[bytes, bytes] = {}
        self._pending = 0  # bytes of these
        self._used: set[bytes] = set()
        self._is_working = False
        self._wanted = trio.Event()  # set once answers are asked for

    def __repr__(self) -> str:
        counts = f"{len(self._asked)} asked for, {len(self._stored)} to be written"
        return f"<Store {self._shown}: {'off' if self.is_off else counts}>"

    @property
    def now(self) -> float:
        """The time, in seconds since 1970."""
        return self._clock()

    def ask(
        self,
        key: bytes,
        found: Found,
        then: Callable[[], object],
        may_read: Callable[[], bool],
        nursery: trio.Nursery,
    ) -> None:
        """Ask for an answer.

        Args:
            key: of the answer.
            found: called with it, or None, from a task.
            then: called after that, once for all the answers that came together.
            may_read: returns whether the window has room for it; asked again after `resume`.
            nursery: where tasks run.
        """
        self._asked.append(_Asked(key, found, then, may_read))
        self.resume(nursery)

    def resume(self, nursery: trio.Nursery) -> None:
        """Go on reading, as the window may have room."""
        if self._asked:
            self._wanted.set()
            self._work(nursery)

    def keep(self, key: bytes, answer: bytes, nursery: trio.Nursery) -> None:
        """Store an answer soon, unless too much is to be written already."""
        if self.is_off or self._pending + len(answer) > MAX_PENDING:
            return
        self._pending += len(answer) - len(self._stored.get(key, b""))
        self._stored[key] = answer
        self._work(nursery)

    def used(self, key: bytes) -> None:
        """Record that an answer was used; it is written with others."""
        self._used.add(key)

    def _work(self, nursery: trio.Nursery) -> None:
        if not self._is_working:
            self._is_working = True
            nursery.start_soon(self._exchange_all)

    async def _exchange_all(self) -> None:
        try:
            while True:
                self._wanted = trio.Event()
                asked = [each for each in self._asked if each.may_read()]
                if not asked and not self._stored:
                    break
                if not asked:
                    with trio.move_on_after(_WRITE_AFTER):
                        await self._wanted.wait()
                        continue
                await self._exchange(asked)
        finally:
            self._is_working = False

    async def _exchange(self, asked: Sequence[_Asked]) -> None:
        """Make one exchange with the file; tell those who asked what was found."""
        used, self._used = self._used, set()
        stored = self._stored.copy()  # it is written again if this is cancelled
        found: dict[bytes, Stored | None] = {}
        if not self.is_off:
            exchange = partial(
                self._file.exchange, self._clock(), stored, list(used), [each.key for each in asked]
            )
            try:
                found = await trio.to_thread.run_sync(
                    exchange, abandon_on_cancel=True, limiter=self._threads
                )
            except (CacheError, MemoryError, RuntimeError) as exc:  # the latter: there is no thread
                self._turn_off(str(exc))
            self._written(stored)
        if self.is_off:
            asked, found = self._asked, dict.fromkeys(each.key for each in self._asked)
        told = [each for each in asked if each.key in found]
        gone = set(map(id, told))
        self._asked = [each for each in self._asked if id(each) not in gone]
        for each in told:
            each.found(found[each.key])
        for then in dict.fromkeys(each.then for each in told):
            then()

    def _written(self, stored: Mapping[bytes, bytes]) -> None:
        for key, answer in stored.items():
            if self._stored.get(key) is answer:
                del self._stored[key]
                self._pending -= len(answer)

    def _turn_off(self, why: str) -> None:
        if not self.is_off:
            self.is_off = True
            self._stored.clear()
            self._pending = 0
            self._notify(without_cache(self._shown, why))

    async def aclose(self) -> None:
        """Write what is left, and close the file; not for long."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_WITHIN):
            self._asked.clear()
            if (self._stored or self._used) and not self.is_off:
                await self._exchange(())
            with suppress(MemoryError, RuntimeError):  # no thread: the process ends anyway
                await trio.to_thread.run_sync(
                    self._file.close, abandon_on_cancel=True, limiter=self._threads
                )


def without_cache(shown: str, why: str) -> str:
    """Return the notice on a cache that cannot be used."""
    return printable(f"cache {shown}: {why}; the run goes on without it", 1000)


@asynccontextmanager
async def open_stores(
    plan: RunPlan, notify: Callable[[str], None]
) -> AsyncIterator[Mapping[str, Store]]:
    """Open the caches of a run, by their folders; those that cannot be used are left out.

    Args:
        plan: of the run.
        notify: called with one line for each cache that fails.
    """
    stores: dict[str, Store] = {}
    caches = [api.cache for api in plan.apis if api.cache]
    try:
        for cache in caches:
            if cache.dir not in stores:
                size = max(each.max_size for each in caches if each.dir == cache.dir)
                try:
                    file = await _open(cache.dir, size)
                except CacheError as exc:
                    notify(without_cache(cache.shown, str(exc)))
                else:
                    stores[cache.dir] = Store(file, cache.shown, notify)
        yield stores
    finally:
        for store in stores.values():
            await store.aclose()


async def _open(folder: str, max_size: int) -> File:
    try:
        from tmux_fanout.engine.calls.reuse.database import Database  # SQLite is needed rarely
    except ImportError as exc:
        raise CacheError("this Python was built without SQLite") from exc
    # Whoever opens a backend gets one, even if the run has been cancelled by then.
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _OPEN_WITHIN):
        try:
            return await trio.to_thread.run_sync(Database, folder, max_size, abandon_on_cancel=True)
        except (MemoryError, RuntimeError) as exc:  # the latter: there is no thread
            raise CacheError(str(exc)) from exc
    raise CacheError(f"it did not open within {show_duration(_OPEN_WITHIN)}")

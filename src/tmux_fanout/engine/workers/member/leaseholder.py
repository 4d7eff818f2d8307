"""The share that this worker has of the limits, and what it learns about endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import trio
from trio.lowlevel import ParkingLot

from tmux_fanout.core.dealing.messages import Asks, Found, Tallied, encode_message
from tmux_fanout.core.sharing.lease import Grant, Lease
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.workers.pipes import Sender

_PATIENCE = 1 / 5  # of a lease, within which a request is answered, or asked again
_CHECKED_EVERY = 0.1  # seconds: whether the budget is short
_GATHERED_FOR = 0.02  # seconds, in which what is learned goes into one report
_ENDPOINTS_AT_ONCE = 8  # so that a report is written as a whole, or not at all: see pipe(7)

T = TypeVar("T")


class Leaseholder:
    """Asks the parent for this worker's share again and again, and keeps to it.

    Args:
        pipe: to the parent.
        share: what is kept to.
        first: the share that it begins with.
        is_idle: returns whether there is nothing to do.

    Attributes:
        share: as above.
    """

    def __init__(
        self, pipe: Sender, share: Share, first: Grant, is_idle: Callable[[], bool]
    ) -> None:
        self._pipe = pipe
        self.share = share
        self._is_idle = is_idle
        self._lease = Lease(len(first.amounts), first, trio.current_time())
        self._seconds = first.seconds
        self._again = 0.0
        self._was_short = False  # of budget, when it asked
        self._granted = ParkingLot()
        if any(first.amounts):  # else nothing begins before there is a share
            share.change(
                first.amounts, self._lease.until, is_new=first.is_new, may_owe=first.may_owe
            )

    def __repr__(self) -> str:
        return f"<Leaseholder: {self._lease!r}>"

    def take(self, grant: Grant) -> None:
        """Keep to a grant from now on; ask again soon if it is none."""
        self._again = grant.again
        if self._lease.take(grant):
            self.share.change(
                grant.amounts,
                self._lease.until,
                is_new=grant.is_new,
                is_all=grant.is_settled and self._was_short,
                may_owe=grant.may_owe,
            )
        self._granted.unpark_all()

    def renew(self, *, is_less: bool) -> None:
        """Ask for the share at once, as the limits have changed.

        Args:
            is_less: whether nothing may begin before the answer.
        """
        if is_less:
            self.share.suspend()
        self._again = 0.0
        self._granted.unpark_all()

    async def keep_asking(self) -> None:
        """Ask until cancelled."""
        with suppress(OSError):  # the parent has gone
            while True:
                self._was_short = self.share.is_short_of_budget
                ask = self._lease.ask(
                    trio.current_time(), self.share.in_use(), is_idle=self._is_idle()
                )
                await self._pipe.send(encode_message(Asks(ask)))
                with trio.move_on_after(self._seconds * _PATIENCE):
                    await self._granted.park()
                await self._pause()

    async def _pause(self) -> None:
        """Wait until it is time to ask again."""
        ends = trio.current_time() + self._again
        while (left := ends - trio.current_time()) > 0:
            step = min(left, _CHECKED_EVERY) if self.share.has_budget else left
            with trio.move_on_after(step):
                await self._granted.park()
                return  # it was told to ask at once
            if self.share.is_short_of_budget:
                return

    async def keep_telling(self) -> None:
        """Tell the parent what is learned about endpoints, until cancelled."""
        with suppress(OSError):
            while True:
                if messages := self._news():
                    for message in messages:
                        await self._pipe.send(message)
                    await trio.sleep(_GATHERED_FOR)
                else:
                    with trio.move_on_after(self.share.tallies.due_in()):
                        await self.share.has_news.park()

    def _news(self) -> Sequence[bytes]:
        """Return the messages that tell what is new; each is sent as a whole, or not at all."""
        found = self.share.conditions.take()
        messages = [encode_message(Found(some)) for some in _batches(found)]
        tallies, asks = self.share.tallies.take()
        return messages + [encode_message(Tallied(some, asks)) for some in _batches(tallies)]


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [
        items[start : start + _ENDPOINTS_AT_ONCE]
        for start in range(0, len(items), _ENDPOINTS_AT_ONCE)
    ]

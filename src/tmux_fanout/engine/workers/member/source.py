"""The records that were dealt to this worker."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from trio.lowlevel import ParkingLot

from tmux_fanout.core.dealing.messages import Deal, Wants, encode_message
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total
from tmux_fanout.core.results.mend import plan_mend
from tmux_fanout.engine.run.backend import Backend, Hooks, OpenBackend
from tmux_fanout.engine.workers.pipes import Sender

_MUCH_MORE = 2  # times what it wanted, from which on it says so again


class DealtSource:
    """A source of the records that were dealt to this worker.

    It tells the parent when slots idle, so that the worker gets the next records, even if the
    window of the run is full.

    Args:
        names: the names of the APIs, in order.
        pipe: to the parent.
    """

    def __init__(self, names: Sequence[str], pipe: Sender) -> None:
        self._names = names
        self._pipe = pipe
        self._records: deque[Record] = deque()
        self._received = 0
        self._wanted = 0  # what the parent was told since the last records came
        self._backend: Backend | None = None
        self._changed = ParkingLot()
        self._at_end = False

    def __repr__(self) -> str:
        return f"<DealtSource: {len(self._records)} records, {'no ' * self._at_end}more to come>"

    def add(self, deal: Deal) -> None:
        """Append the records of an order."""
        for index, json in zip(deal.indexes, deal.records):
            record = Record(index, json, json)
            line = deal.lines.get(index) if deal.lines else None
            planned = plan_mend(record, line, self._names) if line else None
            self._records.append(planned or record)
        self._received += len(deal.indexes)
        self._wanted = 0
        self._changed.unpark_all()

    def finish(self) -> None:
        """Note that no more records will come."""
        self._at_end = True
        self._changed.unpark_all()

    def is_idle(self) -> bool:
        """Return whether there is no record left to do anything for."""
        return not self._records and (self._backend is None or self._backend.is_settled)

    def observed(self, opener: OpenBackend) -> OpenBackend:
        """Return what opens a backend whose idle slots are reported to the parent."""

        @asynccontextmanager
        async def open_backend(hooks: Hooks) -> AsyncIterator[Backend]:
            def wake_reader() -> None:
                hooks.wake_reader()
                self._changed.unpark_all()

            async with opener(hooks._replace(wake_reader=wake_reader)) as backend:
                self._backend = backend
                try:
                    yield backend
                finally:
                    self._backend = None

        return open_backend

    async def next_chunk(self) -> list[Record]:
        while not self._records and not self._at_end:
            if wanted := self._wants_more():
                self._wanted = wanted
                await self._pipe.send(encode_message(Wants(wanted, self._received)))
            else:
                await self._changed.park()
        records = list(self._records)
        self._records.clear()
        return records

    def _wants_more(self) -> int:
        """Return how many records idle slots could use, if that is worth a message; else 0."""
        wanted = self._backend.wanted_records() if self._backend else 0
        return wanted if wanted >= max(1, _MUCH_MORE * self._wanted) else 0

    def read_ahead(self) -> list[Record]:
        return list(self._records)

    def total(self) -> Total | None:
        return None

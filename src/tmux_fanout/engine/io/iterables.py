"""Read records from Python iterables."""

from __future__ import annotations

import io
import select
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

import trio

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo, InputError
from tmux_fanout.core.json_text import NotJSON, check_record, encode_value
from tmux_fanout.core.records.framing import LineFramer
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.progress import Total

_POLL_MILLISECONDS = 100  # between checks whether a thread that waits for a file should end


def record_of(index: int, value: Any) -> Record:
    """Return the record of a JSON-serialisable value, or of bytes that hold JSON text."""
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value)
            check_record(text)
            return Record(index, text, text)
        text = encode_value(value)
        return Record(index, text, text, value=value)
    except NotJSON as exc:
        error = ErrorInfo("invalid_record", f"record {index}: not JSON: {exc}")
    except Exception as exc:
        error = internal_error(exc)
    raw = bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""
    return Record(index, raw, b"", error, value)


class _IterableSource:
    """What all iterables have in common: nothing is read ahead, and the size is unknown."""

    def read_ahead(self) -> Sequence[Record]:
        return ()

    def total(self) -> Total | None:
        return None

    def close(self) -> None:
        """Do nothing: the iterable belongs to the caller."""


class IterableSource(_IterableSource):
    """Read the records of a non-blocking iterable."""

    def __init__(self, records: Iterable[Any], chunk_size: int) -> None:
        self._values = iter(records)
        self._size = len(records) if isinstance(records, Collection) else None
        self._chunk_size = chunk_size
        self._count = 0
        self._error: Exception | None = None

    async def next_chunk(self) -> list[Record]:
        await trio.lowlevel.checkpoint()
        values = []
        try:
            for value in islice(self._values, self._chunk_size):
                values.append(value)
        except Exception as exc:
            self._error = exc
        if self._error and not values:
            raise InputError("the records ended with an error") from self._error
        first = self._count
        self._count += len(values)
        return list(map(record_of, count(first), values))

    def total(self) -> Total | None:
        return None if self._size is None else Total(self._size, is_exact=True)


class AsyncIterableSource(_IterableSource):
    """Read the records of an async iterable, each as soon as it arrives."""

    def __init__(self, records: AsyncIterable[Any]) -> None:
        self._values = aiter(records)
        self._count = 0

    async def next_chunk(self) -> list[Record]:
        try:
            value = await anext(self._values)
        except StopAsyncIteration:
            return []
        except Exception as exc:
            raise InputError("the records ended with an error") from exc
        self._count += 1
        return [record_of(self._count - 1, value)]


class HandedOverSource(_IterableSource, ABC):
    """Read records that another thread hands over, each as it arrives.

    So a slow value delays no earlier one.  The other thread calls `hand_over` for each value and
    `end` after the last, and is at most one chunk ahead, for which subclasses count slots: `_free`
    gives slots back.
    """

    def __init__(self, chunk_size: int) -> None:
        self._chunk_size = chunk_size
        self._count = 0
        self._values: deque[Any] = deque()
        self._arrived = trio.Event()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._token = trio.lowlevel.current_trio_token()

    async def next_chunk(self) -> list[Record]:
        while not self._values and not self._ended:
            self._arrived = trio.Event()
            await self._arrived.wait()
        size = min(len(self._values), self._chunk_size)
        if not size and self._error:
            raise InputError("the records ended with an error") from self._error
        values = [self._values.popleft() for _ in range(size)]
        if values:
            self._free(size)
        first = self._count
        self._count += size
        return list(map(record_of, count(first), values))

    def hand_over(self, value: Any) -> None:
        """Take a value, for which there is a slot."""
        self._values.append(value)
        self._notify(self._wake)

    def end(self, error: BaseException | None = None) -> None:
        """Take note that no more values come, and what the records raised, if anything."""
        self._error = error
        self._notify(self._end)

    @abstractmethod
    def _free(self, slots: int) -> None:
        """Let the other thread hand over that many more values."""

    def _notify(self, callback: Callable[[], None]) -> None:
        try:
            self._token.run_sync_soon(callback, idempotent=True)
        except trio.RunFinishedError:
            self._closed = True

    def _wake(self) -> None:
        self._arrived.set()

    def _end(self) -> None:
        self._ended = True
        self._arrived.set()


class BlockingIterableSource(HandedOverSource):
    """Read the records of an iterable that may block, in a thread.

    `close` ends the thread, except while it is blocked inside the iterable, where nothing can
    interrupt it; then it ends when the iterable returns.  A binary file is polled instead of
    iterated over, because a thread that is blocked inside `sys.stdin.buffer` aborts the interpreter
    at exit.
    """

    def __init__(self, records: Iterable[Any], chunk_size: int) -> None:
        super().__init__(chunk_size)
        self._records = records
        self._slots = threading.Semaphore(chunk_size)
        self._thread = threading.Thread(target=self._pull, name="tmux-fanout records", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask the thread to end, without waiting for it."""
        self._closed = True
        self._slots.release()

    def _free(self, slots: int) -> None:
        self._slots.release(slots)

    def _pull(self) -> None:
        try:
            for value in self._records_or_lines():
                self._slots.acquire()
                if self._closed:
                    return
                self.hand_over(value)
        except BaseException as exc:
            self.end(exc)
        else:
            self.end()

    def _records_or_lines(self) -> Iterable[Any]:
        if isinstance(self._records, io.BufferedReader):
            return self._lines_of(self._records)
        return self._records

    def _lines_of(self, file: io.BufferedReader) -> Iterator[bytes]:
        framer = LineFramer(sys.maxsize)
        poll = select.poll()
        poll.register(file.fileno(), select.POLLIN)
        while not self._closed:
            if not poll.poll(_POLL_MILLISECONDS):
                continue
            data = file.read1()
            lines = framer.feed(data) if data else framer.finish()
            yield from (line for line in lines if isinstance(line, bytes) and line.strip())
            if not data:
                return

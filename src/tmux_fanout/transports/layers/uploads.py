"""A layer that sends forms with files, around any transport.

A file is never in memory as a whole: it is read piece by piece, as fast as the connection takes it.
As a disk or a network share may be slow, threads do the reading, a few at a time.  A cancelled
attempt waits for its thread, and then closes the file.

Content-Length is sent first and has to be right.  So all files are opened once before anything is
sent, to learn their sizes.  A file that has changed by the time that it is read, or while it is
read, fails the attempt before its last byte is sent; so the server never has a whole request.  A
later attempt must send the same bytes, and fails if a file has changed since the first.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Self, TypeVar

import trio
from msgspec.structs import replace

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Headers, Request, RequestHead, Response
from tmux_fanout.core.requests.forms.encoding import name_file
from tmux_fanout.core.text import describe
from tmux_fanout.core.uploads.form import CONTENT_TYPE, File, Identity, Upload
from tmux_fanout.transports.base import Progress, Transport
from tmux_fanout.transports.layers.beneath import Refused, open_beneath
from tmux_fanout.transports.shortage import THREADS, shortage_of

_PIECE = 128 << 10  # bytes that are read at a time
_MAX_READERS = 8  # threads of an API

T = TypeVar("T")


def _make_boundary() -> str:
    return f"--------{secrets.token_hex(16)}"


class UploadTransport:
    """Opens the files of each form for each attempt.

    Args:
        transport: sends the requests.
        make_boundary: returns 40 characters that nobody can guess.
    """

    def __init__(
        self, transport: Transport, make_boundary: Callable[[], str] = _make_boundary
    ) -> None:
        self._transport = transport
        self._make_boundary = make_boundary
        self._readers = trio.CapacityLimiter(_MAX_READERS)

    def __repr__(self) -> str:
        return f"<UploadTransport: {self._readers.borrowed_tokens} reading, {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        upload = request.body
        if not isinstance(upload, Upload):
            return await self._transport.send(request, progress)
        if not upload.boundary:
            upload.boundary = self._make_boundary()
        await _in_thread(partial(measure, upload), self._readers)
        body = _Reading(upload, self._readers)
        try:
            head = _with_type(request.head, upload.content_type)
            return await self._transport.send(Request(head, body), progress)
        finally:
            body.close()

    async def aclose(self) -> None:
        await self._transport.aclose()


def _with_type(head: RequestHead, content_type: str) -> RequestHead:
    """Return a head with a Content-Type that names the boundary."""
    headers: Headers = tuple(
        (name, content_type if value == CONTENT_TYPE else value) for name, value in head.headers
    )
    return replace(head, headers=headers, is_shared=False)


async def _in_thread(read: Callable[[], T], readers: trio.CapacityLimiter) -> T:
    """Return what a function returns that may take long; if cancelled, wait for it all the same."""
    try:
        return await trio.to_thread.run_sync(read, limiter=readers)
    except RuntimeError as exc:  # `threading` raises nothing more specific
        message = "no thread can be started to read a file"
        raise TransportError(
            "template", message, sent=False, transient=True, shortage=THREADS
        ) from exc


def measure(upload: Upload) -> None:
    """Set the size of a form whose boundary is known, and note what its files are like.

    Raises:
        TransportError: `template`; one cannot be opened, or is not what it was.
    """
    for index, file in enumerate(upload.files):
        os.close(_open(upload, index, file, "it has changed since the first attempt"))
    text = sum(len(piece) for piece in upload.pieces() if isinstance(piece, bytes))
    upload.size = text + sum(upload.seen[index].size for index in range(len(upload.files)))


def _open(upload: Upload, index: int, file: File, if_changed: str) -> int:
    """Open a file of a form, which must be as it was before, if it was seen before."""
    try:
        descriptor, found = open_beneath(upload.root, file.steps)
    except Refused as exc:
        raise _failure(file, str(exc)) from None
    except FileNotFoundError as exc:
        raise _failure(file, f"no such file in the folder {describe(upload.root)}") from exc
    except OSError as exc:
        raise _unreadable(file, exc) from exc
    identity = _identity(found)
    if upload.seen.setdefault(index, identity) != identity:
        os.close(descriptor)
        raise _failure(file, if_changed)
    return descriptor


def _identity(found: os.stat_result) -> Identity:
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _failure(file: File, why: str) -> TransportError:
    # What was sent of the request was not whole, so no server has processed it.
    return TransportError("template", f"{name_file(file.name, file.path)}: {why}", sent=False)


def _unreadable(file: File, exc: OSError) -> TransportError:
    failure = _failure(file, f"it cannot be read: {exc.strerror}")
    failure.shortage = shortage_of(exc)
    failure.transient = bool(failure.shortage)
    return failure


class _Reading:
    """A form as it is read for one attempt; see `BodyStream`.

    Args:
        upload: the form, measured.
        readers: limits the threads that read.

    Attributes:
        size: bytes of the whole.
    """

    def __init__(self, upload: Upload, readers: trio.CapacityLimiter) -> None:
        self.size = upload.size
        self._upload = upload
        self._readers = readers
        self._pieces: Iterator[bytes | _OpenFile] = iter(())
        self._file: _OpenFile | None = None

    def __repr__(self) -> str:
        return f"<_Reading: {self._upload!r}, {self.size} bytes>"

    def __aiter__(self) -> Self:
        self.close()
        self._pieces = self._parts()
        return self

    def _parts(self) -> Iterator[bytes | _OpenFile]:
        index = 0
        for piece in self._upload.pieces():
            if isinstance(piece, bytes):
                yield piece
            else:
                yield _OpenFile(self._upload, index, piece)
                index += 1

    async def __anext__(self) -> bytes:
        while True:
            if self._file is None:
                piece = next(self._pieces, None)
                if piece is None:
                    raise StopAsyncIteration
                if isinstance(piece, bytes):
                    return piece
                self._file = piece
            data = await _in_thread(self._file.read, self._readers)
            if self._file.is_done:
                self._file = None
            if data:
                return data

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _OpenFile:
    """A file of a form, which is opened once its first piece is read.

    Args:
        upload: the form, measured.
        index: of the file among those of the form.
        file: the file.

    Attributes:
        is_done: whether all of it was read, and it is closed.
    """

    def __init__(self, upload: Upload, index: int, file: File) -> None:
        self.is_done = False
        self._upload = upload
        self._index = index
        self._file = file
        self._descriptor = -1
        self._left = upload.seen[index].size

    def read(self) -> bytes:
        """Return the next piece; with the last one, the file is as long as it was.

        Raises:
            TransportError: `template`; the file has changed, or cannot be read.
        """
        if_changed = "it changed while it was sent"
        if self._descriptor < 0:
            self._descriptor = _open(self._upload, self._index, self._file, if_changed)
        try:
            data = os.read(self._descriptor, min(_PIECE, self._left)) if self._left else b""
            is_last = len(data) == self._left
            found = os.fstat(self._descriptor) if is_last or not data else None
        except OSError as exc:
            raise _unreadable(self._file, exc) from exc
        if found and (_identity(found) != self._upload.seen[self._index] or not is_last):
            raise _failure(self._file, if_changed)
        self._left -= len(data)
        if is_last:
            self.is_done = True
            self.close()
        return data

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

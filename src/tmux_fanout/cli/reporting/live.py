"""The option `--live`: a file whose values a run takes over as it changes."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from tmux_fanout.cli.reporting.tuner import Tuner
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable
from tmux_fanout.core.tuning.tuning import parse_tuning, untuned

_INTERVAL = 0.25  # seconds between two looks at the file
_MAX_SIZE = 1 << 20  # bytes


class LiveFile:
    """Has a run do what a file says; without the file it does what it began with.

    A mistake is said and ignored: the values before it hold.  A change counts only once two looks
    have found the same, since the file may be in the middle of being written.

    Args:
        path: of the file, which need not exist.
        tuner: changes what the run may do.
        notify: called with one line on a mistake.
    """

    def __init__(self, path: str, tuner: Tuner, notify: Callable[[str], None]) -> None:
        self._path = path
        self._name = printable(repr(path))
        self._tuner = tuner
        self._notify = notify
        self._seen: bytes | None = None  # at the last look
        self._content: bytes | None = None  # that was taken, or ignored
        self._mistake = ""

    def __repr__(self) -> str:
        return f"<LiveFile {self._path}: {self._tuner!r}>"

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Have the run follow the file within the block, what it says now from the beginning."""
        self._begin()
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._watch)
            yield
            nursery.cancel_scope.cancel()

    async def _watch(self) -> None:
        while True:
            await trio.sleep(_INTERVAL)
            self._look()

    def _begin(self) -> None:
        """Take what is there, so that the run does not begin otherwise."""
        try:
            self._seen = _content_of(self._path)
        except (ConfigError, OSError):
            pass  # as `_look` will say
        else:
            if self._seen is None:
                self._notify(f"--live: {self._name}: no such file yet; waiting for it")
        self._look()

    def _look(self) -> None:
        try:
            before, self._seen = self._seen, _content_of(self._path)
            if self._seen != before or self._seen == self._content:
                return
            self._content = self._seen
            tuning = untuned(self._tuner.plan)
            if self._content is not None:
                tuning = parse_tuning(_text_of(self._content), self._tuner.plan)
        except (ConfigError, OSError, UnicodeDecodeError) as exc:
            self._complain(_describe(exc))
            return
        self._mistake = ""
        self._tuner.change(tuning, "--live")

    def _complain(self, mistake: str) -> None:
        if mistake != self._mistake:
            self._mistake = mistake
            self._notify(f"--live: {self._name}: ignored: {mistake}")


def _content_of(path: str) -> bytes | None:
    """Return what is in a file; None if there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigError("it is not a regular file")
        content = file.read(_MAX_SIZE + 1)
    if len(content) > _MAX_SIZE:
        raise ConfigError("it is larger than 1 MiB")
    return content


def _text_of(content: bytes) -> str:
    text = content.decode("utf-8-sig")
    if not text.strip():  # as a file is between being opened and being written
        raise ConfigError("empty; remove the file to have everything as the run began with")
    return text


def _describe(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return exc.strerror or type(exc).__name__
    return "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)

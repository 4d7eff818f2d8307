"""Open a file below a folder by a path that a record names.

A path that is checked first and opened later may lead elsewhere by then.  So each name on it is
opened in the folder that was opened before, and never as a symbolic link.  Links are read, and
followed here step by step; one that leads out of the folder is refused.  (Linux does the same for
RESOLVE_BENEATH of openat2(2), which Python does not offer.)

Pipes and devices are not opened.  If one takes the place of a file in the last moment, opening it
does not block, and what was opened is checked again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence

from tmux_fanout.core.uploads.form import name_root

_MAX_LINKS = 40  # as Linux has it
_FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Refused(Exception):
    """A path leads to no file below the folder; the text says why."""


def open_beneath(root: str, steps: Sequence[str]) -> tuple[int, os.stat_result]:
    """Open a regular file for reading.

    Args:
        root: path of the folder.
        steps: the names that lead from there to the file, none of them `..`.

    Returns:
        The descriptor, which the caller owns, and what the file is like.

    Raises:
        Refused: there is no regular file below the folder.
        OSError: it cannot be opened.
    """
    walk = _Walk(root)
    try:
        return walk.open(steps)
    finally:
        walk.close()


class _Walk:
    """The way from a folder to a file; its folders stay open."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folders = [os.open(root, _FOLDER)]
        self._left: deque[str] = deque()
        self._links = 0

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.pop())

    def open(self, steps: Sequence[str]) -> tuple[int, os.stat_result]:
        self._left.extend(steps)
        while self._left:
            name, folder = self._left.popleft(), self._folders[-1]
            if name == "..":
                self._leave()
                continue
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                self._follow(os.readlink(name, dir_fd=folder))
            elif self._left and stat.S_ISDIR(mode):
                self._folders.append(os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder))
            elif self._left:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            else:
                return _open_regular(name, folder, mode)
        raise Refused("it is a folder")

    def _leave(self) -> None:
        """Go back to the folder above, as a link has it."""
        if len(self._folders) == 1:
            raise Refused(f"a symbolic link leads out of {name_root(self._root)}")
        os.close(self._folders.pop())

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            target = self._from_root(target)
            while len(self._folders) > 1:
                os.close(self._folders.pop())
        self._left.extendleft(step for step in reversed(target.split("/")) if step not in ("", "."))

    def _from_root(self, target: str) -> str:
        """Return the rest of an absolute path from the folder on."""
        for root in (os.path.realpath(self._root), os.path.abspath(self._root)):
            if f"{target}/".startswith(root.rstrip("/") + "/"):
                return target[len(root) :]
        raise Refused(f"a symbolic link leads out of {name_root(self._root)}")


def _open_regular(name: str, folder: int, mode: int) -> tuple[int, os.stat_result]:
    _check_kind(mode)
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        _check_kind(found.st_mode)  # something else may have taken its place
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, found


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")
        raise Refused(f"it is {kind}" if kind == "a folder" else f"it is {kind}, not a file")

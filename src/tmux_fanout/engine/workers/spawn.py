"""Starting a child process, in one of two ways.

A fork has all modules loaded and is ready within milliseconds, but a process that has threads or an
event loop must not be forked.  So only the first children, started before the loop, are forks.  One
that replaces another is a new Python, which takes a quarter of a second to start.

Either has pipes for standard input and output, our standard error, and no other descriptor but the
one that it is given: a copy of a pipe would keep others from seeing its end.  It starts with those
signals blocked that it will ignore: a terminal sends Ctrl-C to all processes of a job, `pkill` any
signal to all of one name, and a child takes orders from its parent only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NamedTuple, NoReturn, Protocol

from tmux_fanout.engine.run.signals import STATUS_SIGNALS
from tmux_fanout.engine.workers.pipes import PipeEnd, Receiver, Sender

PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *STATUS_SIGNALS)

_MODULE = "tmux_fanout.engine.workers.child"


class Process(Protocol):
    """A process, with the methods of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """Send it SIGKILL, unless it was waited for."""

    def wait(self) -> int | None:
        """Wait for its end, and return its exit status, or minus the signal that ended it.

        None: it cannot be known.
        """


class Child(NamedTuple):
    """A process that was started, and our ends of its connections: to it, and from it."""

    process: Process
    to: Sender
    from_: Receiver


Start = Callable[[int | None], Child]
"""Starts a child that inherits the given descriptor, if any.  Raises OSError."""


def quickest_start(child: Callable[[int | None], None]) -> Start:
    """Return the quickest way to start children while there is no event loop.

    Args:
        child: runs in a child that is a fork, and gets the descriptor that it inherits.
    """
    # On macOS, system libraries that are in use do not survive a fork.
    can_fork = sys.platform != "darwin" and threading.active_count() == 1
    return partial(fork_child, child) if can_fork else spawn_child


def spawn_child(kept: int | None) -> Child:
    """Start a child as a new Python that inherits the descriptor `kept`, if any."""
    with _pipes() as (stdin, stdout, to, from_):
        process = subprocess.Popen(
            child_command(kept),
            stdin=stdin,
            stdout=stdout,
            pass_fds=() if kept is None else (kept,),
        )
        return Child(process, to, from_)


def child_command(kept: int | None) -> list[str]:
    """Return the command line of a child that inherits the descriptor `kept`, if any."""
    command = [sys.executable, *_path_options(), "-m", _MODULE]
    return command if kept is None else [*command, str(kept)]


def fork_child(child: Callable[[int | None], None], kept: int | None) -> Child:
    """Fork this process, which must have neither threads nor an event loop.

    Args:
        child: runs in the fork, and gets `kept`.
        kept: descriptor that it inherits, or None.
    """
    with _pipes() as (stdin, stdout, to, from_):
        pid = os.fork()
        if not pid:
            _be_child(child, stdin, stdout, kept)
        return Child(_Forked(pid), to, from_)


class _Forked:
    """A child that is a fork of this process.

    Args:
        pid: of the child.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def __repr__(self) -> str:
        return f"<_Forked: pid {self.pid}, status {self._status}>"

    def kill(self) -> None:
        if self._status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self._status is None:
            try:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:  # where SIGCHLD is ignored, the status is unknown
                self._status = 0
        return self._status


def _be_child(
    child: Callable[[int | None], None], stdin: int, stdout: int, kept: int | None
) -> NoReturn:
    """Run `child` in a fork, and exit without what this process would have done afterwards."""
    status = 1
    try:
        for end, standard in ((stdin, 0), (stdout, 1)):
            os.dup2(end, standard)
            os.close(end)  # first, since a listing needs a descriptor itself
        for fd in map(int, os.listdir("/dev/fd")):
            if fd > 2 and fd != kept:
                with suppress(OSError):  # the descriptor of the listing is closed by now
                    os.close(fd)
        child(kept)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@contextmanager
def _pipes() -> Iterator[tuple[int, int, PipeEnd, PipeEnd]]:
    """Open a child's pipes: its ends of them for the block, and ours for the caller to close.

    Within the block, those signals are blocked that the child will ignore.
    """
    with ExitStack() as theirs, ExitStack() as ours:
        stdin, to = os.pipe()
        theirs.callback(os.close, stdin)
        ours.callback(os.close, to)
        from_, stdout = os.pipe()
        theirs.callback(os.close, stdout)
        ours.callback(os.close, from_)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        theirs.callback(signal.pthread_sigmask, signal.SIG_SETMASK, blocked)
        yield stdin, stdout, PipeEnd(to), PipeEnd(from_)
        ours.pop_all()  # the caller owns them now


def _path_options() -> list[str]:
    """Return the options by which a new Python searches the current directory first if we do.

    `auth.call` may have put it last, which is up to the child then.
    """
    return [] if sys.path[:1] in ([""], [os.getcwd()]) else ["-P"]

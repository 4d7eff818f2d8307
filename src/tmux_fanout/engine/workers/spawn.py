"""Starting a child process, in one of two ways.

A fork of this process has all modules already and is there within milliseconds; but what has
threads, or an event loop, cannot be forked.  So that is for those who are started before the loop.
Who takes the place of one that died is a Python of its own, which takes a quarter of a second.

Either has two pipes for standard input and output, our standard error, and no other descriptor but
the one that it is given: it would keep open what others wait for the end of.  It starts with the
signals blocked that it is to ignore: a terminal sends Ctrl-C to all processes of a job, and a child
has to obey its parent only.
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

from tmux_fanout.engine.workers.pipes import PipeEnd

PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_MODULE = "tmux_fanout.engine.workers.child"


class Process(Protocol):
    """A process, as `subprocess` has it."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """Send it SIGKILL, if it was not waited for."""

    def wait(self) -> int:
        """Wait for its end.  Returns its exit status, or the signal that ended it, negated."""


class Child(NamedTuple):
    """A process that was started, and our ends of its pipes."""

    process: Process
    to: PipeEnd
    from_: PipeEnd


Start = Callable[[int | None], Child]  # given a descriptor that the child is to have, or None


def quickest_start(child: Callable[[], None]) -> Start:
    """Return how to start children while there is no event loop.

    Args:
        child: what a child does.
    """
    # On macOS, what the system's libraries have begun in a process does not go on in its fork.
    can_fork = sys.platform != "darwin" and threading.active_count() == 1
    return partial(fork_child, child) if can_fork else spawn_child


def spawn_child(kept: int | None) -> Child:
    """Start a Python of its own."""
    with _pipes() as (stdin, stdout, to, from_):
        process = subprocess.Popen(
            [sys.executable, *_path_options(), "-m", _MODULE],
            stdin=stdin,
            stdout=stdout,
            pass_fds=() if kept is None else (kept,),
        )
        return Child(process, to, from_)


def fork_child(child: Callable[[], None], kept: int | None) -> Child:
    """Fork this process, which must have neither threads nor an event loop."""
    with _pipes() as (stdin, stdout, to, from_):
        pid = os.fork()
        if not pid:
            _be_child(child, stdin, stdout, kept)
        return Child(_Forked(pid), to, from_)


class _Forked:
    """A process that was forked.

    Args:
        pid: of it.
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
            except ChildProcessError:  # where SIGCHLD is ignored nobody is told how one ended
                self._status = 0
        return self._status


def _be_child(child: Callable[[], None], stdin: int, stdout: int, kept: int | None) -> NoReturn:
    """Do what a child does, and nothing that this process would have done after the fork."""
    status = 1
    try:
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        for fd in map(int, os.listdir("/dev/fd")):
            if fd > 2 and fd != kept:
                with suppress(OSError):  # it is that of the listing, and closed
                    os.close(fd)
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@contextmanager
def _pipes() -> Iterator[tuple[int, int, PipeEnd, PipeEnd]]:
    """The ends for a child, open for the time of the block, and ours, which are to be closed.

    In the block the signals are blocked that the child is to ignore.
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
        ours.pop_all()  # the caller has them now


def _path_options() -> list[str]:
    """Let a child find modules in the current directory only if this process would as well."""
    here = {"", os.getcwd()}
    return [] if here.intersection(sys.path) else ["-P"]

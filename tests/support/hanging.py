"""A plugin of pytest: a test that hangs ends the session, with a report of where everything is.

The report has the stack of each thread, the tasks of each event loop, whatever thread it runs in,
and the processes that the test has started. The session ends as after Ctrl-C, which trio passes to
the test, so that the failures until then are shown; if the test does not end either, the process
does.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
import trio
from support.processes import children_of, state_of

LIMIT = float(os.environ.get("TMUX_FANOUT_HANGING", "300"))  # seconds, more than any test takes
_GRACE = min(LIMIT, 60.0)  # seconds after that until the process ends
_OMITTED = ("/_pytest/", "/pluggy/", "/pytest_trio/", "/trio/_core/")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Interrupt a test, its fixtures included, that takes longer than the limit."""
    former = signal.signal(signal.SIGALRM, partial(_interrupt, item))
    signal.setitimer(signal.ITIMER_REAL, LIMIT, _GRACE)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _interrupt(item: pytest.Item, number: int, frame: FrameType | None) -> None:
    report = [f"\n{item.nodeid} hangs."]
    for describe in (_threads, _tasks, _processes):
        try:
            report.extend(describe())
        except Exception:  # a part of the report is better than none
            report.append(traceback.format_exc())
    capture = item.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(*report, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
    signal.signal(signal.SIGALRM, lambda *_: os._exit(pytest.ExitCode.INTERRUPTED))
    signal.raise_signal(signal.SIGINT)


def _threads() -> Iterator[str]:
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if frame := frames.get(thread.ident or 0):
            yield f"\nThread {thread.name}:"
            yield from _shown(traceback.walk_stack(frame), reverse=True)


def _tasks() -> Iterator[str]:
    for task in gc.get_objects():
        kind = type(task)  # as isinstance() would follow weak references
        if kind is trio.lowlevel.Task and task.parent_nursery is None:
            yield "\nTasks of trio:"
            yield from _indented(_tree(task))
        elif issubclass(kind, asyncio.Task) and not task.done():
            yield f"\nTask of asyncio: {task.get_name()}"
            yield from _shown((each, each.f_lineno) for each in task.get_stack())


def _tree(task: trio.lowlevel.Task) -> Iterator[str]:
    if task.parent_nursery is not None or task.child_nurseries:  # it has not ended
        yield task.name
        yield from _shown(task.iter_await_frames())
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _indented(_tree(child))


def _processes() -> Iterator[str]:
    yield "\nProcesses:"
    if Path("/proc").is_dir():
        yield from _indented(_descendants(os.getpid()))


def _descendants(pid: int) -> Iterator[str]:
    for child in children_of(pid):
        words = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace").split("\0")
        yield f"{child} {state_of(child)} {' '.join(words)}"
        yield from _indented(_descendants(child))


def _shown(frames: Iterable[tuple[FrameType, int]], *, reverse: bool = False) -> Iterator[str]:
    """Format a stack without the frames inside pytest and the core of trio."""
    stack = [
        frame
        for frame in traceback.StackSummary.extract(frames)
        if not any(part in frame.filename for part in _OMITTED)
    ]
    yield from _indented(traceback.format_list(stack[::-1] if reverse else stack))


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        for part in line.splitlines():
            yield f"  {part}"

"""Run the command as a process."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from support.zygote import Hangs, Zygote

COMMAND = [sys.executable, "-m", "tmux_fanout"]
PATIENCE = 120  # seconds to wait for a process to end before the test fails


def environment(**more: str) -> dict[str, str]:
    """Return the environment without variables that change the program's behaviour."""
    excluded = ("TMUX_FANOUT", "SSL_CERT")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(excluded) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "PYTHONWARNINGS": "default",
        "PYTHONFAULTHANDLER": "1",  # SIGABRT shows the stacks of a process that hangs
        "COLUMNS": "100",
        **more,
    }


@cache
def _zygote() -> Zygote:
    made = Zygote(environment())
    atexit.register(made.close)
    return made


class Process(subprocess.Popen[bytes]):
    """A process of the command, which is waited for with patience and never left running.

    One that does not end is asked how the run stands and where its threads are, and killed; the
    test fails with its answers.
    """

    def communicate(
        self, input: bytes | None = None, timeout: float | None = PATIENCE
    ) -> tuple[bytes, bytes]:
        try:
            return super().communicate(input, timeout)
        except subprocess.TimeoutExpired:
            self._ask_where_it_is()
        out, err = super().communicate(timeout=PATIENCE)
        raise AssertionError(f"the command hangs:\n{_shown(err)}\nIts output:\n{_shown(out)}")

    def wait(self, timeout: float | None = PATIENCE) -> int:
        try:
            return super().wait(timeout)
        except subprocess.TimeoutExpired:
            self._ask_where_it_is()
        err = self.stderr.read() if self.stderr and not self.stderr.closed else b""
        super().wait()
        raise AssertionError(f"the command hangs:\n{_shown(err)}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if value is not None:
            self.kill()  # whatever it waits for may never come
        super().__exit__(kind, value, trace)

    def _ask_where_it_is(self) -> None:
        self.send_signal(signal.SIGCONT)
        if _catches(self.pid, signal.SIGUSR1):
            self.send_signal(signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                super().wait(2)
        self.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            super().wait(2)
        self.kill()


def _catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal (proc(5))."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "SigCgt":
                return bool(int(value, 16) >> (number - 1) & 1)
    return False


def _shown(data: bytes) -> str:
    return data[-8000:].decode(errors="replace")


def run(
    *args: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, with a pipe as standard input."""
    env = env or environment()
    if _zygote().can_run(args, env):
        try:
            done = _zygote().run(args, stdin, env, PATIENCE)
        except Hangs as exc:
            raise AssertionError(f"the command hangs:\n{exc}") from None
        return subprocess.CompletedProcess([*COMMAND, *args], *done)
    with start(*args, env=env) as process:
        out, err = process.communicate(stdin)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start(*args: str, **more: Any) -> Process:
    """Start the command, with pipes and the usual environment unless `more` overrides them."""
    usual = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return Process([*COMMAND, *args], **{**usual, "env": environment(), **more})


def lines(output: bytes) -> list[dict[str, Any]]:
    """Parse lines of output; the last must end with a line break."""
    assert not output or output.endswith(b"\n")
    return [json.loads(line) for line in output.splitlines()]


def records(count: int, first: int = 0) -> bytes:
    """Return `count` JSONL records whose ids start at `first`."""
    return b"".join(b'{"id": %d}\n' % i for i in range(first, first + count))

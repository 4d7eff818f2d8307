"""The command as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-m", "tmux_fanout"]
PATIENCE = 60  # seconds after which a process that should have ended is a failure


def environment(**more: str) -> dict[str, str]:
    """The environment, without what would change the program's behaviour."""
    changing = ("TMUX_FANOUT", "SSL_CERT")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(changing) and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONWARNINGS": "default", "COLUMNS": "100", **more}


def run(
    *args: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end; standard input is a pipe."""
    return subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        env=env or environment(),
        timeout=PATIENCE,
        check=False,
    )


def start(*args: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start, with pipes and the usual environment where nothing else is given."""
    usual = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*COMMAND, *args], **{**usual, "env": environment(), **more})


def lines(output: bytes) -> list[dict[str, Any]]:
    """Lines of output as values; the last must be whole."""
    assert not output or output.endswith(b"\n")
    return [json.loads(line) for line in output.splitlines()]


def records(count: int, first: int = 0) -> bytes:
    return b"".join(b'{"id": %d}\n' % i for i in range(first, first + count))

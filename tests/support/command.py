"""Run the command as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-m", "tmux_fanout"]
PATIENCE = 60  # seconds to wait for a process to end before the test fails


def environment(**more: str) -> dict[str, str]:
    """Return the environment without variables that change the program's behaviour."""
    excluded = ("TMUX_FANOUT", "SSL_CERT")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(excluded) and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONWARNINGS": "default", "COLUMNS": "100", **more}


def run(
    *args: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, with a pipe as standard input."""
    return subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        env=env or environment(),
        timeout=PATIENCE,
        check=False,
    )


def start(*args: str, **more: Any) -> subprocess.Popen[bytes]:
    """Start the command, with pipes and the usual environment unless `more` overrides them."""
    usual = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*COMMAND, *args], **{**usual, "env": environment(), **more})


def lines(output: bytes) -> list[dict[str, Any]]:
    """Parse lines of output; the last must end with a line break."""
    assert not output or output.endswith(b"\n")
    return [json.loads(line) for line in output.splitlines()]


def records(count: int, first: int = 0) -> bytes:
    """Return `count` JSONL records whose ids start at `first`."""
    return b"".join(b'{"id": %d}\n' % i for i in range(first, first + count))

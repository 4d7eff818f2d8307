"""Outputs of earlier runs, complete or not, to resume from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from support.command import run
from support.loopback import Loopback

COUNT = 60  # records


def without_times(output: bytes) -> bytes:
    """Return the output with every `seconds` set to 0."""
    return re.sub(rb'"seconds":[\d.]+', b'"seconds":0', output)


class Case(NamedTuple):
    """A run, its files, and what it writes when nothing disturbs it."""

    server: Loopback
    args: list[str]
    source: Path
    out: Path
    whole: bytes

    def resume(self, *more: str, stdin: bytes = b"") -> tuple[int, str]:
        """Resume the run; return its exit status and standard error."""
        done = run(*self.args, "-o", str(self.out), "--resume", *more, stdin=stdin)
        assert done.stdout == b""
        return done.returncode, done.stderr.decode()

    def has_it_all(self) -> bool:
        """Return whether the output equals that of an undisturbed run, apart from times."""
        return without_times(self.out.read_bytes()) == without_times(self.whole)

    def first_lines(self, count: int) -> bytes:
        """Return the first `count` lines of the complete output."""
        return b"".join(self.whole.splitlines(keepends=True)[:count])

    def requests(self) -> int:
        """Return the number of requests since the last call."""
        count = len(self.server.bodies)
        self.server.bodies.clear()
        return count


def prepared(server: Loopback, folder: Path, whole: bytes) -> Case:
    """Write the input and an output for a run.

    Every seventh input line is invalid, and the server refuses every fifth record.
    """
    source, out = folder / "in.jsonl", folder / "out.jsonl"
    inputs = [b'{"id": %d' % i + (b"" if i % 7 == 6 else b"}") for i in range(COUNT)]
    source.write_bytes(b"\n\n".join(inputs))
    out.write_bytes(whole)
    server.replies["/"] = lambda body: (404 if int(body[7:-1]) % 5 == 0 else 200, body)
    args = ["-a", f"x={server.url()}", "-a", f"y={server.url('/200')}", "-l", "8", str(source)]
    return Case(server, args, source, out, whole)

"""The shells installed here, and a fake curl that prints its arguments."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from support.command import PATIENCE

SHELLS = [shell for shell in ("sh", "bash", "zsh", "ksh") if shutil.which(shell)]

_FAKE = """#!/bin/sh
printf '%s\\0' $# "$@"
for word; do if [ "$word" = @- ]; then cat; fi; done
"""


class CurlCall(NamedTuple):
    """The arguments of a curl command, and its standard input if it reads that."""

    words: list[str]
    stdin: bytes

    def after(self, option: str) -> list[str]:
        """Return the values given for an option."""
        pairs = zip(self.words, self.words[1:])
        return [value for word, value in pairs if word == option]


def printed(command: str, shell: str = "sh", **variables: str) -> bytes:
    """Run a command in a shell and return its output."""
    done = subprocess.run(
        [shell],
        input=command.encode(),  # as an argument it could be too long
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables},
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr == b""
    return done.stdout


def fake_curl(folder: Path) -> str:
    """Write a fake `curl`, and return a PATH that finds it first."""
    program = folder / "curl"
    program.write_text(_FAKE)
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def curl_call(command: str, path: str, shell: str = "sh", **variables: str) -> CurlCall:
    """Run a curl command with the fake on `path`, and return what it received."""
    count, _, rest = printed(command, shell, PATH=path, **variables).partition(b"\0")
    *words, stdin = rest.split(b"\0", int(count))
    return CurlCall([word.decode("utf-8", "surrogateescape") for word in words], stdin)

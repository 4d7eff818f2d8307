"""Shells that are here, and a curl that only says what it was told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SHELLS = [shell for shell in ("sh", "bash", "zsh", "ksh") if shutil.which(shell)]

_FAKE = """#!/bin/sh
printf '%s\\0' $# "$@"
for word; do if [ "$word" = @- ]; then cat; fi; done
"""


class Told(NamedTuple):
    """What a curl was told: its words, and its standard input if it is to read that."""

    words: list[str]
    stdin: bytes

    def after(self, option: str) -> list[str]:
        """The words that follow an option."""
        pairs = zip(self.words, self.words[1:])
        return [value for word, value in pairs if word == option]


def printed(command: str, shell: str = "sh", **variables: str) -> bytes:
    """What a command prints in a shell."""
    done = subprocess.run(
        [shell],
        input=command.encode(),  # an argument could be too long
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **variables},
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    return done.stdout


def fake_curl(folder: Path) -> str:
    """A PATH on which `curl` is a fake."""
    program = folder / "curl"
    program.write_text(_FAKE)
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def told(command: str, path: str, shell: str = "sh", **variables: str) -> Told:
    """What the fake on `path` hears from a command."""
    count, _, rest = printed(command, shell, PATH=path, **variables).partition(b"\0")
    *words, stdin = rest.split(b"\0", int(count))
    return Told([word.decode("utf-8", "surrogateescape") for word in words], stdin)

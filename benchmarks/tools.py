"""Find the versions of the tools that rivals need."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shutil import which

RIVALS = Path(__file__).parent / "rivals"
COMPILED = Path(__file__).parent.parent / ".venv-compiled" / "bin" / "python"

_VERSION = {"go": "version"}  # how a program is asked for its version, where not by --version


@cache
def version_of(name: str) -> str | None:
    """Return the version of a Python module, a program, a node package (`npm:undici`) or a file.

    None if it is not installed; `?` if it is, and has no version.
    """
    if name == str(COMPILED):
        return _said(name, "-m", "tmux_fanout", "--version") if COMPILED.exists() else None
    if name.startswith("npm:"):
        package = name.removeprefix("npm:")
        return which("node") and _said("node", "-p", f"require('{package}/package.json').version")
    if which(name):
        return _said(name, _VERSION.get(name, "--version")) or "?"
    try:
        return version(name) if find_spec(name) else None
    except PackageNotFoundError:
        return "?"


def _said(*command: str) -> str | None:
    """Return the first dotted number that a command prints."""
    done = subprocess.run(command, cwd=RIVALS, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout)
    return found[0] if found and not done.returncode else None

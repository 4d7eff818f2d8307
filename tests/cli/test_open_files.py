"""Limits of open files that are too low to run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.command import COMMAND, PATIENCE, environment

API = "-a x=http://127.0.0.1:1/ -r 0"


@pytest.mark.parametrize("job", [API, f"{API} --workers 2", "demo", "demo --serve"])
@pytest.mark.parametrize("limit", [6, 12])
def test_too_few_open_files_are_one_line(job: str, limit: int, tmp_path: Path) -> None:
    """The message has the limit and says how to raise it; nothing is sent."""
    script = f"ulimit -n {limit}; exec {' '.join(COMMAND)} {job} < /dev/null"
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert text.startswith(
        f"tmux-fanout: too few open files are allowed ({limit}): raise the limit"
    )
    assert text.endswith("better 1024, with `ulimit -n`\n")
    assert text.count("\n") == 1

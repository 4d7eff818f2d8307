"""Limits of open files that are too low to run."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from support.command import start

API = "-a x=http://127.0.0.1:1/ -r 0"


@pytest.mark.parametrize("job", [API, f"{API} --workers 2", "demo", "demo --serve"])
@pytest.mark.parametrize("limit", [6, 12])
def test_too_few_open_files_are_one_line(job: str, limit: int, tmp_path: Path) -> None:
    """The message has the limit and says how to raise it; nothing is sent."""

    def allow_few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with start(*job.split(), preexec_fn=allow_few_files, cwd=tmp_path) as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, b"")
    text = err.decode()
    assert text.startswith(
        f"tmux-fanout: too few open files are allowed ({limit}): raise the limit"
    )
    assert text.endswith("better 1024, with `ulimit -n`\n")
    assert text.count("\n") == 1

"""A test that hangs ends with a report, so that continuous integration shows where it hung."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.command import PATIENCE, environment

HANGING = """
import subprocess, threading, trio

async def wait_for_nothing():
    with trio.CancelScope(shield={shield}):
        await trio.sleep_forever()

async def program():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_nothing)

def test_it():
    threading.Thread(target=trio.run, args=(program,), name="engine", daemon=True).start()
    with subprocess.Popen(["sleep", "3600"]) as sleeping:
        try:
            trio.run(program)
        finally:
            sleeping.kill()
"""


@pytest.mark.parametrize("shield", [False, True], ids=["plain", "shielded"])
def test_hanging_test_is_reported(tmp_path: Path, shield: bool) -> None:
    """The report has threads, tasks and processes; the session ends even if the test does not."""
    (tmp_path / "test_hanging.py").write_text(HANGING.format(shield=shield))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "support.hanging", "."],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(Path(__file__).parent), TMUX_FANOUT_HANGING="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert "test_hanging.py::test_it hangs." in done.stderr
    assert "Thread engine:" in done.stderr
    assert done.stderr.count("test_hanging.wait_for_nothing\n") == 2
    assert done.stderr.count("await trio.sleep_forever()") == 2
    assert " sleep 3600" in done.stderr

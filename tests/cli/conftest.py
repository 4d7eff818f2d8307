"""Fixtures for tests of the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import run
from support.loopback import Loopback, loopback
from support.outputs import Case, prepared


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run writes."""
    with loopback() as server:
        case = prepared(server, tmp_path_factory.mktemp("whole"), b"")
        assert run(*case.args, "-q", "-o", str(case.out)).returncode == 1
        return case.out.read_bytes()


@pytest.fixture
def case(server: Loopback, tmp_path: Path, whole: bytes) -> Case:
    return prepared(server, tmp_path, whole)

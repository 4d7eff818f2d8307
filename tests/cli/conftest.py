"""Fixtures for the tests of the command."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.command import run
from support.faults import Against, run_against
from support.loopback import Loopback, loopback
from support.names import reserved_port
from support.outputs import Case, prepared


@pytest.fixture
def against(tmp_path: Path) -> Against:
    """Return `against(script, *args)`, which runs the command on a server; see `support.faults`."""
    return partial(run_against, tmp_path)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Reserve a port that nobody listens on, unless the test does."""
    with reserved_port() as port:
        yield port


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the output of an undisturbed run."""
    with loopback() as server:
        case = prepared(server, tmp_path_factory.mktemp("whole"), b"")
        assert run(*case.args, "-q", "-o", str(case.out)).returncode == 1
        return case.out.read_bytes()


@pytest.fixture
def case(server: Loopback, tmp_path: Path, whole: bytes) -> Case:
    """Return a run whose output file is complete."""
    return prepared(server, tmp_path, whole)

"""Fixtures of the tests of the command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.faults import Against, run_against


@pytest.fixture
def against(tmp_path: Path) -> Against:
    """`against(script, *args)`: the whole command against a server; see `support.faults`."""
    return partial(run_against, tmp_path)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()

"""Fixtures for all floors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.loopback import Loopback, loopback


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A loopback server for tests of the command."""
    with loopback() as running:
        yield running

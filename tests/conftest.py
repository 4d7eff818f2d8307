"""Fixtures for all floors."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from support.loopback import Loopback, loopback

# The same examples each time, on a machine of any speed.
settings.register_profile("same-everywhere", derandomize=True, deadline=None, database=None)
settings.load_profile("same-everywhere")

# What a shell starts in the background ignores SIGINT, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A loopback server for tests of the command."""
    with loopback() as running:
        yield running

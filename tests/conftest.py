"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from support.loopback import Loopback, loopback
from support.thoroughness import share_of

pytest_plugins = ["support.hanging"]

# Run the same examples on every machine, however slow it is.
settings.register_profile(
    "same-everywhere",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=share_of(100),
)
settings.load_profile("same-everywhere")

# A shell starts background jobs with SIGINT ignored, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Run a loopback server for tests of the command."""
    with loopback() as running:
        yield running

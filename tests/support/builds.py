"""What holds in the build from Python sources only (see `tox -e compiled`)."""

from __future__ import annotations

import pytest

from tmux_fanout.core.version import is_compiled

replaces_functions = pytest.mark.skipif(
    is_compiled(), reason="compiled modules call each other's functions without looking them up"
)

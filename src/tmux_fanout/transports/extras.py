"""What has to be installed beside the program for some settings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.plan import ApiPlan


def require_extras(plans: Sequence[ApiPlan]) -> None:
    """Return if all that the APIs need is there.

    Raises:
        ConfigError: it is not; the message says what to install.
    """
    for plan in plans:
        if plan.http2 and find_spec("h2") is None:
            message = "http2: it needs an extra; pip install 'tmux-fanout[http2]'"
            raise ConfigError(f"API {plan.name!r}: {message}")

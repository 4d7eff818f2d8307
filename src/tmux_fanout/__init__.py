"""Stream records through several HTTP APIs at once: in order, under limits.

    from tmux_fanout import Api, fanout, fanout_sync

The names are loaded when they are first used, so that the command's `--help` need not load trio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tmux_fanout.core.version import __version__

if TYPE_CHECKING:
    from tmux_fanout.core.config.settings import Api
    from tmux_fanout.core.errors import ConfigError, ErrorInfo
    from tmux_fanout.core.results.outcome import Outcome, Result
    from tmux_fanout.engine.library import fanout, fanout_sync

__all__ = [
    "Api",
    "ConfigError",
    "ErrorInfo",
    "Outcome",
    "Result",
    "__version__",
    "fanout",
    "fanout_sync",
]

_HOMES = {
    "Api": "core.config.settings",
    "ErrorInfo": "core.errors",
    "ConfigError": "core.errors",
    "Outcome": "core.results.outcome",
    "Result": "core.results.outcome",
    "fanout": "engine.library",
    "fanout_sync": "engine.library",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

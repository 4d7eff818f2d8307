"""Stream records through several HTTP APIs at once: in order, under limits.

    from tmux_fanout import Api, fanout, fanout_sync
    from tmux_fanout.asyncio import fanout      # in asyncio programs
    from tmux_fanout.dask import fanout_bag     # for data in Dask

Names are loaded when they are first used, so that the command's `--help` need not load trio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tmux_fanout.core.version import __version__

if TYPE_CHECKING:
    from tmux_fanout.core.config.settings import Api
    from tmux_fanout.core.endpoints.breaker import BreakerSettings
    from tmux_fanout.core.errors import ConfigError, ErrorInfo, Failure
    from tmux_fanout.core.http.auth import Basic, Bearer, Digest, OAuth2
    from tmux_fanout.core.http.tls import Tls
    from tmux_fanout.core.policy.adaptive import Adaptive
    from tmux_fanout.core.records.parser import Record
    from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
    from tmux_fanout.core.requests.options import Batch
    from tmux_fanout.core.results.outcome import Outcome, Result, Timings
    from tmux_fanout.engine.library.fanout import fanout, fanout_sync
    from tmux_fanout.engine.library.plan import Plan
    from tmux_fanout.engine.library.results import Results
    from tmux_fanout.engine.library.sync import SyncResults

__all__ = [
    "Adaptive",
    "Api",
    "ApiStatistics",
    "Basic",
    "Batch",
    "Bearer",
    "BreakerSettings",
    "ConfigError",
    "Digest",
    "ErrorInfo",
    "Failure",
    "OAuth2",
    "Outcome",
    "Plan",
    "Record",
    "Result",
    "Results",
    "RunStatistics",
    "SyncResults",
    "Timings",
    "Tls",
    "__version__",
    "fanout",
    "fanout_sync",
]

_MODULES = {
    "Adaptive": "core.policy.adaptive",
    "Api": "core.config.settings",
    "ApiStatistics": "core.report.statistics",
    "Basic": "core.http.auth",
    "Batch": "core.requests.options",
    "Bearer": "core.http.auth",
    "BreakerSettings": "core.endpoints.breaker",
    "ConfigError": "core.errors",
    "Digest": "core.http.auth",
    "ErrorInfo": "core.errors",
    "Failure": "core.errors",
    "OAuth2": "core.http.auth",
    "Outcome": "core.results.outcome",
    "Plan": "engine.library.plan",
    "Record": "core.records.parser",
    "Result": "core.results.outcome",
    "Results": "engine.library.results",
    "RunStatistics": "core.report.statistics",
    "SyncResults": "engine.library.sync",
    "Timings": "core.results.outcome",
    "Tls": "core.http.tls",
    "fanout": "engine.library.fanout",
    "fanout_sync": "engine.library.fanout",
}


def __getattr__(name: str) -> Any:
    if name in ("asyncio", "dask"):
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

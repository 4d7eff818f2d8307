"""The keys that a result may have, so that a test does not expect others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tmux_fanout.core.config.tables import unknown_key
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import describe, nearest, show_key

_OF_RESULTS = ("index", "record", "ok", "results", "error", "raw")
_OF_OUTCOMES = (
    "ok",
    "skipped",
    "status",
    "headers",
    "body",
    "encoding",
    "error",
    "attempts",
    "seconds",
    "via",
    "shared",
    "cached",
    "trace",
    "timings",
)


def check_result(part: Mapping[str, Any], apis: Collection[str]) -> Mapping[str, Any]:
    """Return the expected part of a result, if results of these APIs may have its keys.

    Raises:
        ConfigError: none has; the error has the key.
    """
    for key in part:
        if key in apis and key not in _OF_RESULTS:
            why = f"unknown key {show_key(key)} here: write results.{key}"
            raise ConfigError(why, unknown=key)
        if key not in _OF_RESULTS:
            raise unknown_key(key, _OF_RESULTS)
    outcomes = part.get("results")
    for name, outcome in outcomes.items() if isinstance(outcomes, Mapping) else ():
        if name not in apis:
            raise ConfigError(f"unknown API {describe(name)}: {nearest(name, apis)}", key="results")
        for key in outcome if isinstance(outcome, Mapping) else ():
            if key not in _OF_OUTCOMES:
                raise unknown_key(key, _OF_OUTCOMES).within(f"results.{name}")
    return part

"""An API's keys over those that it inherits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tmux_fanout.core.errors import ConfigError

BODIES = ("body", "json", "text")  # an API has one of them
OPTIONAL = (  # false: not that one inherited
    *("auth", "batch", "cache", "compress", "connect_to", "cost", "hedge", "host_rate", "hosts"),
    *("ok_when", "pages", "poll", "price", "proxy", "rate_group", "retry_when", "select", "socket"),
    *("spent", "stream", "tls", "when"),
)


def inherit(defaults: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return an API's keys over the defaults; headers are merged one by one, ignoring case.

    Credentials of its own replace those of the defaults, be they a header or `auth`; a body of its
    own replaces theirs, whichever key it is written with.
    """
    merged = {**defaults, **keys}
    if any(key in keys for key in BODIES):
        dropped = [key for key in BODIES if key not in keys]
        if "body" not in keys and "body_format" not in keys:
            dropped.append("body_format")
        for key in dropped:
            merged.pop(key, None)
    shared, own = defaults.get("headers", {}), keys.get("headers", {})
    if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
        return merged
    given = {name.lower() for name in own}
    if "authorization" in given and "auth" not in keys:
        merged.pop("auth", None)
    if "auth" in keys:
        given.add("authorization")
    kept = {name: value for name, value in shared.items() if name.lower() not in given}
    if own or len(kept) < len(shared):
        merged["headers"] = {**kept, **own}
    return merged


def settle(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those keys of an API in which `false` stands for what it does not inherit, without it.

    Args:
        settings: keys of the API, with all that it inherits.
    """
    settled: dict[str, Any] = {key: None for key in OPTIONAL if settings[key] is False}
    if False in settings["headers"].values():
        settled["headers"] = sent_headers(settings["headers"])
    return settled


def sent_headers(headers: Mapping[str, str | Literal[False]]) -> dict[str, str]:
    """Return the headers that are sent: those that are not False."""
    return {name: text for name, text in headers.items() if text is not False}


def check_one_body(settings: Mapping[str, Any]) -> None:
    """Check that the keys of an API that make a body go together.

    Args:
        settings: all keys of the API; None where one is not given.

    Raises:
        ConfigError: there are two bodies, or a format or batch that the body cannot have.
    """
    given = [key for key in BODIES if settings[key] is not None]
    if len(given) > 1:
        raise ConfigError(f"{given[0]} beside it: leave one of the two out", key=given[1])
    if given and given != ["body"] and settings["body_format"] != "json":
        why = f"{given[0]} has a format of its own: leave it out, or use body"
        raise ConfigError(why, key="body_format")
    if given == ["text"] and settings["batch"] is not None:
        raise ConfigError("a batch holds JSON, not text: use json or body", key="batch")

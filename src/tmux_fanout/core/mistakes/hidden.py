"""Refuse settings in which `check` has hidden a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.redaction import find_hidden

_WITH_SECRETS = ("url", "endpoints", "headers", "auth", "json", "proxy")


def check_not_hidden(name: str, settings: Mapping[str, Any]) -> None:
    """Check that no secret is hidden in an API's settings, as `check` prints them.

    Args:
        name: of the API.
        settings: its keys and values.

    Raises:
        ConfigError: one is.
    """
    for key in _WITH_SECRETS:
        if found := find_hidden(key, settings[key]):
            why = "*** is what check prints in place of a secret: write the secret, or ${VAR}"
            raise ConfigError(why, key=found, api=name)

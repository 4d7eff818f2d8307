"""Refuse settings in which `check` has hidden a secret."""

from __future__ import annotations

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.redaction import find_hidden

_WITH_SECRETS = ("url", "endpoints", "headers", "auth", "proxy")


def check_not_hidden(api: Api) -> None:
    """Check that no secret is hidden in an API's settings, as `check` prints them.

    Raises:
        ConfigError: one is.
    """
    for key in _WITH_SECRETS:
        if found := find_hidden(key, getattr(api, key)):
            why = "*** is what check prints in place of a secret: write the secret, or ${VAR}"
            raise ConfigError(why, key=found, api=api.name)

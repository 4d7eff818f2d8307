"""Find where in the configuration file a setting stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tmux_fanout.cli.arguments.given import GivenApi
from tmux_fanout.core.config.config_file import ConfigFile, in_file
from tmux_fanout.core.errors import ConfigError


def locate(file: ConfigFile, given: Sequence[GivenApi], error: ConfigError) -> ConfigError:
    """Return an error in an API's setting with the key path that it has in the file, if any."""
    key = error.key.partition(".")[0]
    is_of_given = any(api.name == error.api and (key == "url" or key in api.keys) for api in given)
    if error.api is None and key in file.run:
        return in_file(file.path, error.within("run"))
    if error.api is None or is_of_given:
        return error
    keys = file.apis.get(error.api)
    if _is_inherited(file, keys, error):
        return in_file(file.path, error.within("defaults"))
    if key in file.run and (keys is None or key not in keys):
        return in_file(file.path, error.within("run"))
    return error if keys is None else in_file(file.path, error)


def _is_inherited(file: ConfigFile, keys: Mapping[str, Any] | None, error: ConfigError) -> bool:
    """Return whether an API has the setting at fault from the defaults.

    Args:
        file: the configuration file.
        keys: of the API, defaults included; None if the file does not have it.
        error: with the key; headers are inherited one by one.
    """
    key, _, name = error.key.partition(".")
    name = name or error.unknown
    if key not in file.defaults:
        return False
    shared, own = file.defaults[key], file.defaults[key] if keys is None else keys.get(key)
    if key == "headers" and isinstance(shared, Mapping) and isinstance(own, Mapping):
        return name in shared and own.get(name) is shared[name]
    return own is shared

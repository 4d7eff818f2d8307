"""Which configuration file, and which profile in it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tmux_fanout.cli.types import FILE_NAME, PROFILE_VARIABLE, VARIABLE
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid, printable
from tmux_fanout.engine.configuration.files import Profile, Written, read_tables


def read_config(config: str | None, profile: str | None, env: Mapping[str, str]) -> Written | None:
    """Return what the configuration file says; None if there is none.

    Args:
        config: path that the command line has, or None.
        profile: name that the command line has, or None.
        env: the environment, for the variables that stand in for both.

    Raises:
        ConfigError: there is no such file or profile, or it cannot be read.
    """
    path = find_config(config, env)
    if path is None:
        if profile is not None:
            why = f"no configuration file to find it in: use -c FILE, or write ./{FILE_NAME}"
            raise ConfigError(f"--profile: {why}")
        return None
    if profile is not None:
        return read_tables(path, Profile(profile, "--profile"))
    named = env.get(PROFILE_VARIABLE)
    return read_tables(path, Profile(named, f"${PROFILE_VARIABLE}") if named else None)


def find_config(option: str | None, env: Mapping[str, str]) -> str | None:
    """Return the path of the configuration file: the option, `$TMUX_FANOUT_CONFIG`, or the default.

    The default counts only if it exists; None if it does not.

    Raises:
        ConfigError: option or variable names no file.
    """
    for source, path in (("--config", option), (f"${VARIABLE}", env.get(VARIABLE) or None)):
        if path is None:
            continue
        if "://" in path:  # not shown: it may hold a secret
            raise ConfigError(f"{source}: {invalid('file name', path, 'the path of a TOML file')}")
        if not os.path.exists(path):
            shown = printable(repr(path))
            raise ConfigError(f"{source}: no such file: {shown}")
        return path
    return FILE_NAME if os.path.lexists(FILE_NAME) else None


def describe_origin(written: Written) -> str:
    """Return where settings come from: `team.toml (profile staging, with common.toml)`."""
    profile = [f"profile {printable(written.profile)}"] if written.profile else []
    others = [f"with {', '.join(written.paths)}"] if written.paths else []
    more = ", ".join([*profile, *others])
    return f"{written.sources.main} ({more})" if more else written.sources.main

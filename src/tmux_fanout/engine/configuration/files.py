"""Configuration files, with those that they include, and the texts that they take from others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from tmux_fanout.core.config.config_file import in_file
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.attached import Beside, attach
from tmux_fanout.core.merging.files import (
    KeyPath,
    Place,
    Sources,
    choose_profile,
    lay_over,
    places_in,
)
from tmux_fanout.core.mistakes.toml import parse_toml
from tmux_fanout.core.text import describe, printable


class Profile(NamedTuple):
    """A profile that is asked for: its name, and what asks for it, for messages."""

    name: str
    option: str


class Written(NamedTuple):
    """What a configuration file says, with those that it includes and with a profile.

    Attributes:
        tables: of all of them, as if they were in one file.
        sources: where each setting is written.
        paths: of the files that it includes, as messages show them.
        profile: name of the profile; "" if none is chosen.
        folders: of all these files.
    """

    tables: dict[str, Any]
    sources: Sources
    paths: tuple[str, ...] = ()
    profile: str = ""
    folders: tuple[str, ...] = ()


def read_tables(path: str, profile: Profile | None = None) -> Written:
    """Return what a configuration file says.

    Args:
        path: of the file.
        profile: the profile to choose; None: none.

    Raises:
        ConfigError: a file cannot be read, is not TOML, or includes itself; or there is no such
            profile.
    """
    places: dict[KeyPath, Place] = {}
    paths: list[str] = []
    folders: list[str] = []
    tables = _load(path, [], places, paths, folders)
    if profile is not None:
        tables, chosen = choose_profile(tables, profile.name, profile.option)
        tables = lay_over(tables, chosen)
        origin = places.get(("profile", profile.name), Place(printable(path)))
        places.update(places_in(chosen, Place(origin.path, profile.name)))
    elif len(paths) == 1:
        places.clear()
    name = "" if profile is None else profile.name
    sources = Sources(printable(path), places)
    return Written(tables, sources, tuple(paths[1:]), name, tuple(folders))


def _load(
    path: str,
    chain: Sequence[str],
    places: dict[KeyPath, Place],
    paths: list[str],
    folders: list[str],
) -> dict[str, Any]:
    """Return the tables of a file, over those of the files that it includes.

    Args:
        path: of the file.
        chain: real paths of the files that lead to it.
        places: receives where settings are written.
        paths: receives the path of each file, as messages show it.
        folders: receives the folder of each file.
    """
    shown = printable(path)
    paths.append(shown)
    folders.append(os.path.dirname(path))
    own = parse_toml(read_config(path), shown)
    chain = [*chain, os.path.realpath(path)]
    try:
        included = _included(path, own.pop("include", []), chain)
        own = attach(own, Beside(partial(_read_text, path), partial(_locate, path)))
    except ConfigError as exc:
        raise in_file(Sources(shown), exc) from None
    tables: dict[str, Any] = {}
    for other in included:
        tables = lay_over(tables, _load(other, chain, places, paths, folders))
    places.update(places_in(own, Place(shown)))
    return lay_over(tables, own)


def _included(path: str, names: object, chain: Sequence[str]) -> list[str]:
    """Return the paths of the files that a file includes.

    Args:
        path: of the file.
        names: what it has under `include`.
        chain: real paths of the file and of those that lead to it.
    """
    example = 'use one such as ["common.toml"]'
    if not isinstance(names, list):
        raise ConfigError(f"not a list: {example}", key="include")
    included = []
    for name in names:
        if not isinstance(name, str) or not name or "\0" in name:
            raise ConfigError(f"no file name, {describe(name)}: {example}", key="include")
        other = beside(path, name)
        if os.path.realpath(other) in chain:
            why = f"{printable(other)} includes this file: remove one of the two"
            raise ConfigError(why, key="include")
        if not os.path.isfile(other):
            raise ConfigError(f"no such file: {printable(other)}", key="include")
        included.append(other)
    return included


def beside(path: str, name: str) -> str:
    """Return the path of a file that a configuration file names, relative to itself."""
    return os.path.join(os.path.dirname(path), os.path.expanduser(name))


def _locate(path: str, name: str) -> str:
    """Return the absolute path of a folder, as workers may be elsewhere; anything else as it is."""
    is_path = name and "\0" not in name and "://" not in name
    return os.path.abspath(beside(path, name)) if is_path else name


def _read_text(path: str, name: str) -> str:
    """Return the content of a file for a text, without the newline at its end."""
    if not name or "\0" in name or "\n" in name:
        raise ConfigError("no file name after the @: write @@ for text that begins with an @")
    try:
        content = read_config(beside(path, name))
    except ConfigError as exc:
        raise ConfigError(f"{exc}; write @@ for text that begins with an @") from None
    return content.removesuffix("\n").removesuffix("\r")


def read_config(path: str) -> str:
    """Return the text of a configuration file, or of one that it names.

    Raises:
        ConfigError: it cannot be read.
    """
    shown = printable(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{shown}: not UTF-8 at byte {exc.start}: save it as UTF-8") from None
    except OSError as exc:
        why = f"{shown}: cannot be read: {exc.strerror}"
        raise ConfigError(why) from None

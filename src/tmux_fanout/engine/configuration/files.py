"""Configuration files, with the texts that they take from files beside them."""

from __future__ import annotations

import os
from typing import Any

from tmux_fanout.core.config.config_file import in_file, parse_toml
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.attached import attach
from tmux_fanout.core.text import printable


def read_tables(path: str) -> dict[str, Any]:
    """Return the tables of a configuration file.

    Raises:
        ConfigError: a file cannot be read, or is not TOML.
    """
    shown = printable(path)
    tables = parse_toml(read_config(path), shown)
    try:
        return attach(tables, lambda name: _read_text(path, name))
    except ConfigError as exc:
        raise in_file(shown, exc) from None


def beside(path: str, name: str) -> str:
    """Return the path of a file that a configuration file names, relative to itself."""
    return os.path.join(os.path.dirname(path), os.path.expanduser(name))


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

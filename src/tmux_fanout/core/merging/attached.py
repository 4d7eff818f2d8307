"""Texts of a configuration file that are files of their own: `text = "@prompts/summary.txt"`.

They are put in where the file is read, so settings never hold a reference.  A text that really
begins with `@` has two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tmux_fanout.core.errors import ConfigError

FOLDER = "files_root"  # relative to the file that names it
ATTACHABLE = ("json", "text", "prompt", "system", "params")

Read = Callable[[str], str]


class Beside(NamedTuple):
    """Files and folders beside a configuration file.

    Attributes:
        read: returns the content of a file by its path.
        locate: returns the path of a folder from anywhere, by its path from there.
    """

    read: Read
    locate: Callable[[str], str]


def attach(tables: Mapping[str, Any], beside: Beside) -> dict[str, Any]:
    """Return the tables of a configuration file with the content of the files in their place.

    Args:
        tables: of the file.
        beside: the files and folders there.

    Raises:
        ConfigError: as `beside.read` does, with the key.
    """
    attached = dict(tables)
    if "defaults" in tables:
        attached["defaults"] = _in_table(tables["defaults"], beside, "defaults")
    for kind in ("api", "preset"):
        if kind in tables:
            attached[kind] = _in_each(tables[kind], beside, kind)
    profiles = tables.get("profile")
    if isinstance(profiles, Mapping):
        attached["profile"] = {
            name: _below(name, profile, beside) for name, profile in profiles.items()
        }
    return attached


def _below(name: str, profile: Any, beside: Beside) -> Any:
    if not isinstance(profile, Mapping):
        return profile
    try:
        return attach(profile, beside)
    except ConfigError as exc:
        raise exc.within(f"profile.{name}") from None


def _in_each(tables: Any, beside: Beside, key: str) -> Any:
    if not isinstance(tables, Mapping):
        return tables
    return {name: _in_table(table, beside, f"{key}.{name}") for name, table in tables.items()}


def _in_table(table: Any, beside: Beside, key: str) -> Any:
    """Return the table of an API, with the files that its bodies name."""
    if not isinstance(table, Mapping):
        return table
    try:
        return {
            name: _in_value(value, beside.read, name)
            if name in ATTACHABLE
            else beside.locate(value)
            if name == FOLDER and isinstance(value, str)
            else value
            for name, value in table.items()
        }
    except ConfigError as exc:
        raise exc.within(key) from None


def _in_value(value: Any, read: Read, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_value(item, read, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [_in_value(item, read, key) for item in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    if value.startswith("@@"):
        return value[1:]
    try:
        return read(value[1:])
    except ConfigError as exc:
        raise exc.within(key) from None


def as_written(value: Any) -> Any:
    """Return a value with its texts as a file must have them: with `@@` where `@` begins one."""
    if isinstance(value, Mapping):
        return {key: as_written(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_written(item) for item in value]
    return f"@{value}" if isinstance(value, str) and value.startswith("@") else value

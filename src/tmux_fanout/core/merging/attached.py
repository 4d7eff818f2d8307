"""Texts of a configuration file that are files of their own: `text = "@prompts/summary.txt"`.

They are put in where the file is read, so settings never hold a reference.  A text that really
begins with `@` has two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tmux_fanout.core.errors import ConfigError

ATTACHABLE = ("json", "text", "prompt", "system", "params")

Read = Callable[[str], str]


def attach(tables: Mapping[str, Any], read: Read) -> dict[str, Any]:
    """Return the tables of a configuration file with the content of the files in their place.

    Args:
        tables: of the file.
        read: returns the content of a file by the path after the `@`.

    Raises:
        ConfigError: as `read` does, with the key.
    """
    attached = dict(tables)
    if "defaults" in tables:
        attached["defaults"] = _in_table(tables["defaults"], read, "defaults")
    for kind in ("api", "preset"):
        if kind in tables:
            attached[kind] = _in_each(tables[kind], read, kind)
    profiles = tables.get("profile")
    if isinstance(profiles, Mapping):
        attached["profile"] = {
            name: _below(name, profile, read) for name, profile in profiles.items()
        }
    return attached


def _below(name: str, profile: Any, read: Read) -> Any:
    if not isinstance(profile, Mapping):
        return profile
    try:
        return attach(profile, read)
    except ConfigError as exc:
        raise exc.within(f"profile.{name}") from None


def _in_each(tables: Any, read: Read, key: str) -> Any:
    if not isinstance(tables, Mapping):
        return tables
    return {name: _in_table(table, read, f"{key}.{name}") for name, table in tables.items()}


def _in_table(table: Any, read: Read, key: str) -> Any:
    """Return the table of an API, with the files that its bodies name."""
    if not isinstance(table, Mapping):
        return table
    try:
        return {
            name: _in_value(value, read, name) if name in ATTACHABLE else value
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

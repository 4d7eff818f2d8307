"""Find all mistakes of a configuration file, not just the first.

A setting is checked where it is used, and the first mistake ends that.  So the setting at fault is
taken out, and everything is checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from tmux_fanout.core.errors import ConfigError, ConfigErrors, FileError
from tmux_fanout.core.http.urls import EXAMPLE_URL

T = TypeVar("T")

Tables = Mapping[str, Any]

_MAX_MISTAKES = 20
# Keys that may only be at fault because another one was taken out.
_CONSEQUENCES: Mapping[str, Collection[str]] = {
    "body_format": ("body",),
    "endpoints": ("url",),
    "files_root": ("files_root",),
    "fallback_of": ("fallback_on",),
    "hosts": ("url",),
    "method": ("hedge", "batch"),
    "preset": ("url", "model", "prompt", "system", "max_tokens", "params"),
    "price": ("max_cost",),
    "rate": ("rate_group", "cost"),
}
# Values for keys that a preset may need.
_STAND_INS: Tables = {"model": "-", "prompt": "-", "max_tokens": 1}
_RELATIVE_URL = "/"  # beside endpoints


class SettingMissing(ConfigError):
    """Something is needed that no setting gives, which may be because of a mistake in that."""


def with_all_mistakes(tables: Tables, check: Callable[[Tables], T]) -> T:
    """Return what `check` makes of the tables of a configuration file.

    Raises:
        ConfigError: as `check` raises it, for each mistake that it finds.
    """
    mistakes: list[ConfigError] = []
    excused: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    while len(mistakes) < _MAX_MISTAKES:
        try:
            found = check(tables)
        except ConfigError as exc:
            before = tables
            for each in exc.each():
                if isinstance(each, FileError):
                    key, place = _key(each.where), tuple(each.where)
                    is_known = place in seen or ("defaults", key) in seen
                    is_stand_in = key in _STAND_INS and is_known
                    if not (key in excused or is_stand_in or str(each) in map(str, mistakes)):
                        mistakes.append(each)
                    seen.add(place)
                    tables = _without(tables, each.where) or tables
                    by = "preset" if each.where[0] == "preset" else key
                    excused.update(_CONSEQUENCES.get(by, ()))
                elif not (each.key in excused or (mistakes and isinstance(each, SettingMissing))):
                    mistakes.append(each)
            if tables is before:
                break
        else:
            if not mistakes:
                return found
            break
    raise mistakes[0] if len(mistakes) == 1 else ConfigErrors(mistakes[:_MAX_MISTAKES])


def _without(tables: Tables, where: Sequence[str]) -> Tables | None:
    """Return the tables without the setting at fault; None if that cannot be taken out.

    Args:
        tables: of the file.
        where: keys from the top of the file down to the mistake.
    """
    depth = _depth(where)
    if len(where) <= depth:
        return None
    return _changed(tables, where[:depth], lambda table: _strip(table, where[depth:]))


def _depth(where: Sequence[str]) -> int:
    """Return how many keys lead to the table that a setting is in."""
    if where[0] == "profile":
        return 2 + _depth(where[2:]) if len(where) > 2 else len(where) - 1
    return {"api": 2, "preset": 2, "run": 1, "defaults": 1}.get(where[0], 0)


def _key(where: Sequence[str]) -> str:
    """Return the key of a setting in its table; "" if the table itself is at fault."""
    return next(iter(where[_depth(where) :]), "")


def _changed(
    table: Tables, path: Sequence[str], change: Callable[[Tables], Tables | None]
) -> Tables | None:
    """Return a table with a change in the one at a path below it; None if nothing changes."""
    if not path:
        return change(table)
    changed = _changed(table.get(path[0], {}), path[1:], change)
    return None if changed is None else {**table, path[0]: changed}


def _strip(table: Tables, where: Sequence[str]) -> Tables | None:
    key, *below = where
    value = table.get(key)
    if below and key == "headers" and isinstance(value, Mapping) and ".".join(below) in value:
        return {
            **table,
            key: {name: each for name, each in value.items() if name != ".".join(below)},
        }
    if key == "url":  # which an API needs
        stand_in = _RELATIVE_URL if "endpoints" in table else EXAMPLE_URL
        return None if value == stand_in else {**table, key: stand_in}
    if key in _STAND_INS and value != _STAND_INS[key]:
        return {**table, key: _STAND_INS[key]}
    if key not in table:
        return None
    return {name: each for name, each in table.items() if name != key}

"""Configuration files that include others, and profiles: tables laid over tables.

A file wins over those that it includes, and a profile over the file.  Tables are merged key by key;
the value of a key is replaced as a whole, but for headers, which are merged one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.inheritance import inherit
from tmux_fanout.core.text import describe, nearest

_OF_NAMES = ("api", "preset")  # tables of tables

KeyPath = tuple[str, ...]
Tables = Mapping[str, Any]


class Place(NamedTuple):
    """Where a setting is written.

    Attributes:
        path: of the file, as messages show it.
        profile: name of the profile in it; "" if it is in none.
    """

    path: str
    profile: str = ""


class Sources(NamedTuple):
    """Where settings are written.

    Attributes:
        main: path of the file, as messages show it.
        places: of settings, by their keys from the top of a file; those that are not here are in
            the file itself.
    """

    main: str
    places: Mapping[KeyPath, Place] = {}

    def of(self, keys: list[str]) -> Place:
        """Return where a setting is written, by its keys from the top of a file."""
        for length in range(len(keys), 0, -1):
            if place := self.places.get(tuple(keys[:length])):
                return place
        return Place(self.main)


def lay_over(below: Tables, above: Tables) -> dict[str, Any]:
    """Return the tables of two files, or of a file and a profile, as those of one."""
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _over(key, below[key], value) if key in below else value
    return merged


def _over(key: str, below: Any, above: Any) -> Any:
    if isinstance(below, list) and isinstance(above, list):
        return [*below, *above]
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    if key == "profile":
        return _each(below, above, lay_over)
    return _each(below, above, inherit) if key in _OF_NAMES else inherit(below, above)


def _each(below: Tables, above: Tables, merge: Any) -> dict[str, Any]:
    merged = dict(below)
    for name, table in above.items():
        other = below.get(name)
        both = isinstance(other, Mapping) and isinstance(table, Mapping)
        merged[name] = merge(other, table) if both else table
    return merged


def places_in(tables: Tables, place: Place) -> Iterator[tuple[KeyPath, Place]]:
    """Yield the place of each setting in the tables of a file, or of a profile."""
    for table, keys in tables.items():
        yield (table,), place
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            yield (table, key), place
            if isinstance(value, Mapping) and (table in _OF_NAMES or key == "headers"):
                for name, item in value.items():
                    yield (table, key, name), place
                    if name == "headers" and isinstance(item, Mapping):
                        yield from (((table, key, name, header), place) for header in item)


def choose_profile(tables: Tables, name: str, option: str) -> tuple[dict[str, Any], Tables]:
    """Return the tables of a file without a profile, and the tables of that.

    Args:
        tables: of the file.
        name: of the profile.
        option: what asks for it, for messages.

    Raises:
        ConfigError: the file has none of this name.
    """
    profiles = tables.get("profile")
    known = profiles if isinstance(profiles, Mapping) else {}
    if name not in known:
        advice = nearest(name, [*known]) if known else f"add a table such as [profile.{name}.run]"
        raise ConfigError(f"{option}: unknown profile {describe(name)}: {advice}")
    chosen = known[name]
    if not isinstance(chosen, Mapping):
        raise ConfigError(f"{option}: profile {describe(name)} is not a table")
    others = {key: table for key, table in known.items() if key != name}
    return {**tables, "profile": others}, chosen

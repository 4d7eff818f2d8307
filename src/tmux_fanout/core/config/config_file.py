"""The configuration file: TOML text into the words that flags and library share.

    [run]         any long option of `run`, with underscores
    [defaults]    any key of an API, inherited by all of them
    [api.NAME]    an API

Here the keys are looked at; the values are, by the same checks as for everybody, when `Api` and
`RunSettings` are made of them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from tmux_fanout.core.config.settings import Api, check_name
from tmux_fanout.core.config.tables import unknown_key
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable, show_key

_LIBRARY_ONLY = ("name", "client")
API_KEYS = tuple(field for field in Api.__struct_fields__ if field not in _LIBRARY_ONLY)
_TABLES = ("run", "defaults", "api")
_BARE = re.compile("[A-Za-z0-9_-]+")


class ConfigFile(msgspec.Struct, frozen=True):
    """What a file says, its keys known and its values not yet looked at.

    Attributes:
        path: for messages.
        run: options of the run.
        defaults: keys that all APIs inherit.
        apis: keys of each API, the defaults filled in.
    """

    path: str
    run: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    apis: Mapping[str, Mapping[str, Any]] = {}

    def __repr__(self) -> str:
        return f"<ConfigFile {self.path}>"  # no more: there may be secrets in it


def parse_config(text: str, path: str, run_keys: Collection[str]) -> ConfigFile:
    """The tables of a configuration file.

    Args:
        text: TOML.
        path: how the file is called in messages.
        run_keys: the options that `[run]` may hold.

    Raises:
        ConfigError: it is no TOML, or has a key that is not known; the message names the file, the
            key, and the nearest key that is.  No value is shown.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        why = "nested too deeply"
        if isinstance(exc, tomllib.TOMLDecodeError):
            why = printable(str(exc))
        elif isinstance(exc, ValueError):  # that of int()
            why = "a number has too many digits"
        advice = 'write texts in quotes, such as timeout = "20s"'
        raise ConfigError(f"{path}: not TOML: {why}; {advice}") from None
    try:
        for key in tables:
            if key not in _TABLES:
                raise _misplaced(key, _TABLES, run_keys)
        run = _table(tables, "run", run_keys, run_keys)
        defaults = _table(tables, "defaults", API_KEYS, run_keys)
        apis = _apis(tables.get("api", {}), run_keys)
    except ConfigError as exc:
        raise in_file(path, exc) from None
    inherited = {name: inherit(defaults, keys) for name, keys in apis.items()}
    return ConfigFile(path, run, defaults, inherited)


def in_file(path: str, mistake: ConfigError) -> ConfigError:
    """A mistake as the user of a file reads it: file, key path, what is wrong."""
    of_api = [] if mistake.api is None else ["api", quote_key(mistake.api)]
    where = ".".join([*of_api, *([mistake.key] if mistake.key else [])])
    return ConfigError(": ".join(part for part in (path, where, mistake.why) if part))


def inherit(defaults: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """An API's own keys over the defaults; of headers, each by itself, in whatever spelling.

    Own credentials replace those of the defaults, whether they are headers or `auth`.
    """
    merged = {**defaults, **keys}
    shared, own = defaults.get("headers", {}), keys.get("headers", {})
    if not isinstance(shared, Mapping) or not isinstance(own, Mapping):
        return merged
    given = {name.lower() for name in own}
    if "authorization" in given and "auth" not in keys:
        merged.pop("auth", None)
    if "auth" in keys:
        given.add("authorization")
    kept = {name: value for name, value in shared.items() if name.lower() not in given}
    if own or len(kept) < len(shared):
        merged["headers"] = {**kept, **own}
    return merged


def quote_key(name: str) -> str:
    """A name as a key of TOML (v1.0.0, "Keys")."""
    return name if _BARE.fullmatch(name) else quote_text(name)


def quote_text(text: str) -> str:
    """A text as a basic string of TOML, with nothing in it that could steer a terminal."""
    return "".join(
        c if c.isprintable() else _escaped(c) for c in json.dumps(text, ensure_ascii=False)
    )


def _escaped(char: str) -> str:
    if "\ud800" <= char <= "\udfff":  # TOML knows no lone surrogates
        char = "\ufffd"
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def _apis(value: Any, run_keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        raise ConfigError("write a table for each API, such as [api.lookup]", key="api")
    for name in value:
        try:
            check_name(name)
        except ConfigError as exc:
            raise exc.within("api") from None
    return {name: _table(value, name, API_KEYS, run_keys, within="api") for name in value}


def _table(
    tables: Mapping[str, Any],
    name: str,
    known: Collection[str],
    run_keys: Collection[str],
    within: str = "",
) -> Mapping[str, Any]:
    """A table of tables, all of its keys known."""
    path = f"{within}.{quote_key(name)}" if within else name
    table = tables.get(name, {})
    if not isinstance(table, Mapping):
        advice = " of an API; such keys stand under [defaults]" if within else ""
        raise ConfigError(f"write a table, [{path}]{advice}", key=path)
    for key in table:
        if key not in known:
            raise _misplaced(key, known, run_keys).within(path)
    return table


def _misplaced(key: str, known: Collection[str], run_keys: Collection[str]) -> ConfigError:
    """What to say of a key that is not known here: where it belongs, or what is meant."""
    if key in API_KEYS and key not in run_keys:
        advice = "it is a key of an API; write it under [defaults] or [api.NAME]"
    elif key in run_keys:
        advice = "it is an option of the run; write it under [run]"
    else:
        return unknown_key(key, known)
    return ConfigError(f"unknown key here; {advice}", key=show_key(key))

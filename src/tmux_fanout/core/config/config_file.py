"""The configuration file: TOML into the keys that options and library share.

    [run]         options of `run`, with underscores
    [defaults]    any key of an API, inherited by all APIs
    [api.NAME]    an API
    [profile.NAME.run], [profile.NAME.api.NAME]   other keys, where the profile is chosen
    [preset.NAME] keys of an API that others take over by `preset = "NAME"`
    [[test]]      a test of all of this, which only `check` and `test` look at

Only keys are checked here.  Values are checked where `Api` and `RunSettings` are made of them, as
they are for everyone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.config.rules import check_name
from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import unknown_key
from tmux_fanout.core.errors import IN_SHELL, ConfigError, FileError
from tmux_fanout.core.merging.files import Sources
from tmux_fanout.core.merging.inheritance import inherit
from tmux_fanout.core.merging.presets import Preset, find_preset
from tmux_fanout.core.mistakes.placement import where
from tmux_fanout.core.redaction import is_secret_name
from tmux_fanout.core.text import show_key

_LIBRARY_ONLY = ("name", "client")
API_KEYS = tuple(field for field in Api.__struct_fields__ if field not in _LIBRARY_ONLY)
COMMAND_KEYS = (  # of [run], which programs have no use for
    "input_format",
    "delimiter",
    "quote",
    "emit",
    "columns",
    "output",
    "resume",
    "resume_anyway",
    "mend",
    "force",
    "failed",
    "workers",
    "cluster",
    "trust_network",
    "summary",
    "summary_file",
    "live",
    "learn",
    "metrics",
    "metrics_file",
    "strict",
    "progress",
    "display",
    "verbose",
    "quiet",
)
_NOUNS = {"api": "API", "preset": "preset"}
_TABLES = ("run", "defaults", "api", "preset")  # of a file, and of a profile
_OF_FILES = (*_TABLES, "profile", "learned", "test")
_OUTSIDE = {  # what belongs to the file, not to one of its tables
    "include": "it goes to the top of the file, above all tables",
    "profile": "choose one with --profile NAME or TMUX_FANOUT_PROFILE=NAME",
    "test": "tests are [[test]] tables of the file, for any profile",
}
_BARE = re.compile("[A-Za-z0-9_-]+")


class ConfigFile(msgspec.Struct, frozen=True):
    """A configuration file whose keys are known and whose values are not yet checked.

    Attributes:
        sources: where settings are written; their `main` is the path, as messages show it.
        run: options of the run.
        defaults: keys that all APIs inherit.
        apis: keys of each API by its name, with the defaults filled in.
        presets: keys of each preset of the file by its name.
        tests: what it has under `test`, unchecked.
    """

    sources: Sources
    run: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}
    apis: Mapping[str, Mapping[str, Any]] = {}
    presets: Mapping[str, Mapping[str, Any]] = {}
    tests: object = ()

    def __repr__(self) -> str:
        return f"<ConfigFile {self.sources.main}>"  # no more: the rest may hold secrets


def parse_tables(
    tables: Mapping[str, Any], sources: Sources, run_keys: Collection[str]
) -> ConfigFile:
    """Return what the tables of a configuration file say.

    Args:
        tables: of the file.
        sources: where they are written.
        run_keys: options that `[run]` may hold.

    Raises:
        FileError: a key is unknown; the message names the file, the table, and the nearest known
            key.  No value is shown.
    """
    try:
        for key in tables:
            if profile := sources.of([key]).profile:
                _check_nested(profile, [key], run_keys)
        run, defaults, apis, presets = _known(tables, _OF_FILES, run_keys)
        _check_profiles(tables.get("profile", {}), run_keys)
        defaults = _with_preset(defaults, presets)
        own = {name: _with_preset(keys, presets, name) for name, keys in apis.items()}
        taken = {name: _taken(defaults, keys) for name, keys in own.items()}
        of_some = set[str]().union(*taken.values())
        inherited = {
            name: _inherit(_without(defaults, of_some - taken[name]), keys)
            for name, keys in own.items()
        }
    except ConfigError as exc:
        raise in_file(sources, exc) from None
    return ConfigFile(sources, run, defaults, inherited, presets, tables.get("test", ()))


def _known(
    tables: Mapping[str, Any], known: Sequence[str], run_keys: Collection[str]
) -> tuple[
    Mapping[str, Any],
    Mapping[str, Any],
    dict[str, Mapping[str, Any]],
    dict[str, Mapping[str, Any]],
]:
    """Return the options of the run, the defaults, the APIs and the presets, if all keys are known.

    Args:
        tables: of a file, or of a profile.
        known: names of tables that it may have.
        run_keys: options that `[run]` may hold.
    """
    for key in tables:
        if key not in known:
            raise _misplaced(key, known, run_keys)
    return (
        _table(tables, "run", run_keys, run_keys),
        _table(tables, "defaults", API_KEYS, run_keys),
        _each(tables, "api", "lookup", run_keys),
        _each(tables, "preset", "chat", run_keys),
    )


def _check_profiles(profiles: Any, run_keys: Collection[str]) -> None:
    """Check the keys of profiles, none of which is chosen."""
    if not isinstance(profiles, Mapping):
        why = "not a table: use one for each profile, such as [profile.staging.run]"
        raise ConfigError(why, key="profile")
    for name, tables in profiles.items():
        at = f"profile.{quote_key(name)}"
        try:
            if not isinstance(tables, Mapping):
                raise ConfigError(f"not a table: use [{at}.run] or [{at}.api.NAME]")
            _check_nested(name, tables, run_keys)
            _known(tables, _TABLES, run_keys)
        except ConfigError as exc:
            of_api = "" if exc.api is None else f".api.{quote_key(exc.api)}"
            raise exc.within(f"{at}{of_api}") from None


def _check_nested(profile: str, keys: Iterable[str], run_keys: Collection[str]) -> None:
    """Check that no key stands in a profile that belongs in one of its tables."""
    at = f"profile.{quote_key(profile)}"
    for key in keys:
        if key not in _TABLES and (key in API_KEYS or key in run_keys):
            use = f"[{at}.run]" if key in run_keys else f"[{at}.defaults] or [{at}.api.NAME]"
            why = f"unknown key {show_key(key)} here: it goes under {use}"
            raise ConfigError(why, unknown=key)


def _with_preset(
    keys: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]], api: str | None = None
) -> Mapping[str, Any]:
    """Return the keys of an API, or the defaults, with the preset in place of its name."""
    if "preset" not in keys:
        return keys
    try:
        return {**keys, "preset": find_preset(keys["preset"], presets)}
    except ConfigError as exc:
        at = "defaults.preset" if api is None else "preset"
        raise exc.within(at, api=api) from None


def _taken(defaults: Mapping[str, Any], keys: Mapping[str, Any]) -> set[str]:
    """Return which values for presets an API has a use for; the defaults may have others."""
    given = {**defaults, **keys}
    preset = given.get("preset")
    return preset.takes(given) if isinstance(preset, Preset) else set()


def _without(table: Mapping[str, Any], keys: Collection[str]) -> Mapping[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _inherit(defaults: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return an API's keys over the defaults.

    Where its preset has credentials, those of the defaults are for other hosts.
    """
    preset = keys.get("preset")
    if isinstance(preset, Preset) and preset.at(keys.get("url")).has_credentials:
        headers = defaults.get("headers", {})
        defaults = {key: each for key, each in defaults.items() if key != "auth"}
        if isinstance(headers, Mapping):
            kept = {name: text for name, text in headers.items() if not is_secret_name(name)}
            defaults["headers"] = kept
    return inherit(defaults, keys)


def in_file(sources: Sources, error: ConfigError) -> FileError:
    """Return an error as the user of a file reads it: file, key path, what is wrong."""
    of_api = () if error.api is None else ("api", error.api)
    keys = [*of_api, *filter(None, [*error.key.split("."), error.unknown])]
    place = sources.of(keys)
    profile = ["profile", quote_key(place.profile)] if place.profile else []
    api = [] if error.api is None else ["api", quote_key(error.api)]
    where = ".".join([*profile, *api, *([error.key] if error.key else [])])
    why = error.why.replace(IN_SHELL, "")
    message = ": ".join(part for part in (place.path, where, why) if part)
    return FileError(message, keys)


def locate(file: ConfigFile, error: ConfigError) -> ConfigError:
    """Return an error in a setting with the key path that it has in the file, if any."""
    key = error.key.partition(".")[0]
    if error.api is None:
        return in_file(file.sources, error.within("run")) if key in file.run else error
    keys = file.apis.get(error.api)
    if _is_inherited(file, keys, error):
        return in_file(file.sources, error.within("defaults"))
    if key in file.run and (keys is None or key not in keys):
        return in_file(file.sources, error.within("run"))
    return error if keys is None else in_file(file.sources, error)


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


def quote_key(name: str) -> str:
    """Return a name as a TOML key (v1.0.0, "Keys")."""
    return name if _BARE.fullmatch(name) else quote_text(name)


def quote_text(text: str) -> str:
    """Return text as a basic string of TOML, with nothing in it that could steer a terminal."""
    return "".join(
        c if c.isprintable() else _escape(c) for c in json.dumps(text, ensure_ascii=False)
    )


def _escape(char: str) -> str:
    if "\ud800" <= char <= "\udfff":  # TOML has no lone surrogates
        char = "\ufffd"
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def _each(
    tables: Mapping[str, Any], kind: str, example: str, run_keys: Collection[str]
) -> dict[str, Mapping[str, Any]]:
    """Return the tables of the APIs, or of the presets, by their names."""
    value = tables.get(kind, {})
    if not isinstance(value, Mapping):
        why = f"not a table: use one for each {_NOUNS[kind]}, such as [{kind}.{example}]"
        raise ConfigError(why, key=kind)
    for name in value:
        try:
            check_name(name)
        except ConfigError as exc:
            raise exc.within(kind) from None
    return {name: _table(value, name, API_KEYS, run_keys, kind=kind) for name in value}


def _table(
    tables: Mapping[str, Any],
    name: str,
    known: Collection[str],
    run_keys: Collection[str],
    *,
    kind: str = "",
) -> Mapping[str, Any]:
    """Return the table called `name`, if all of its keys are known."""
    table = tables.get(name, {})
    try:
        if not isinstance(table, Mapping):
            use = f"[{kind}.{quote_key(name)}]" if kind else f"[{name}]"
            more = "; keys for all APIs go under [defaults]" if kind == "api" else ""
            raise ConfigError(f"not a table: use {use}{more}")
        for key in table:
            if key not in known:
                raise _misplaced(key, known, run_keys)
    except ConfigError as exc:
        if kind == "api":
            raise exc.within(api=name) from None
        raise exc.within(f"{kind}.{quote_key(name)}" if kind else name) from None
    return table


def _misplaced(key: str, known: Collection[str], run_keys: Collection[str]) -> ConfigError:
    """Return the error for a key that is unknown here: where it belongs, or what it should be."""
    if key in _OUTSIDE:
        advice = _OUTSIDE[key]
    elif key in API_KEYS and key not in run_keys:
        advice = "a key of an API goes under [defaults] or [api.NAME]"
    elif key in run_keys:
        advice = "an option of the run goes under [run]"
    elif found := where(key, "" if known is API_KEYS else None):
        advice = found
    else:
        return unknown_key(key, known)
    return ConfigError(f"unknown key {show_key(key)} here: {advice}", unknown=key)

"""The configuration file and the flags, as one.

    flags  >  [api.NAME]  >  [defaults]  >  [run]  >  the defaults of the program

A flag wins wherever the file has the same key.  `-a NAME=URL` adds an API, or gives the file's API
of that name another URL; an API that is added inherits the `[defaults]`, but for `headers` and
`auth` and `tls`: what is for one host is not for another that the file does not know.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click
import msgspec

from tmux_fanout.cli.help import Option
from tmux_fanout.cli.options import RUN_OPTIONS
from tmux_fanout.core.config.config_file import ConfigFile, in_file, inherit, parse_config
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.parser import InputFormat
from tmux_fanout.core.text import describe, one_of, printable
from tmux_fanout.transports.select import check_transports
from tmux_fanout.transports.tls import Contexts

FILE_NAME = "tmux-fanout.toml"
VARIABLE = "TMUX_FANOUT_CONFIG"

NO_API = (
    'no API to call; name one: echo \'{"text": "hi"}\' | tmux-fanout '
    f"-a echo=https://httpbin.org/post   (or under [api.NAME] of ./{FILE_NAME}; "
    "or see it work without any: tmux-fanout demo)"
)

MOST_VERBOSE = 2

_SETTINGS = frozenset(RunSettings.__struct_fields__)
_OPTIONS = {option.name: option for option in RUN_OPTIONS if option.in_file and option.name}
RUN_KEYS = (*_OPTIONS, *(field for field in RunSettings.__struct_fields__ if field not in _OPTIONS))

_OF_NEW_APIS = ("method", "body", "select", "when")
_NOT_FOR_OTHER_HOSTS = ("headers", "auth", "tls")


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What file and flags come to.

    Attributes:
        path: of the file, or None.
        apis: all of them, the file's first.
        plan: what is to run.
        contexts: for TLS, the files that it names read.
        options: what the command is to do beside, nothing left open.
    """

    path: str | None
    apis: Sequence[Api]
    plan: RunPlan
    contexts: Contexts
    options: Mapping[str, Any]


def configure(options: Mapping[str, Any], env: Mapping[str, str]) -> Configuration:
    """Read the configuration file, if there is one, and merge the options over it.

    Args:
        options: of `run`, as click has them; None is not given.
        env: for `${VAR}`, and to find the file.

    Raises:
        ConfigError: the message names the option, or the file and its key.
    """
    path = find_config(options["config"], env)
    file = ConfigFile("") if path is None else _read(path)
    flags = {name: options[name] for name in RUN_KEYS if options.get(name) is not None}
    settings = _settings(file, flags)
    others = _other_options(file, flags)
    apis = list(_apis(file, options, flags.keys()))
    if not apis:
        raise ConfigError(NO_API)
    try:
        plan = plan_run(apis, settings, env)
        contexts = check_transports(plan.apis)
    except ConfigError as exc:
        raise exc if exc.key in flags else _in_its_place(file, options, exc) from None
    merged = {**options, **others}
    return Configuration(path=path, apis=apis, plan=plan, contexts=contexts, options=merged)


class InputConfiguration(NamedTuple):
    """What file and flags say of reading; of `settings` no more counts."""

    input_format: InputFormat | None
    settings: RunSettings


def configure_input(options: Mapping[str, Any], env: Mapping[str, str]) -> InputConfiguration:
    """How input is read, for those who read it and call no API.

    Args:
        options: some of those of `run`, `config` among them; None is not given.
        env: to find the file.

    Raises:
        ConfigError: as for `configure`.
    """
    path = find_config(options["config"], env)
    file = ConfigFile("") if path is None else _read(path)
    flags = {name: value for name, value in options.items() if name in RUN_KEYS}
    given = {name: value for name, value in flags.items() if value is not None}
    input_format = _other_options(file, given)["input_format"]
    return InputConfiguration(input_format, _settings(file, given))


def find_config(option: str | None, env: Mapping[str, str]) -> str | None:
    """The path of the configuration file: as given, else `$TMUX_FANOUT_CONFIG`, else the one here.

    Raises:
        ConfigError: what is named is no file.
    """
    for source, path in (("--config", option), (f"${VARIABLE}", env.get(VARIABLE) or None)):
        if path is None:
            continue
        if "://" in path:  # not shown: it may hold a secret
            raise ConfigError(f"{source}: a URL is no FILE; name a TOML file")
        if not os.path.exists(path):
            raise ConfigError(f"{source}: {printable(repr(path))} does not exist; name a TOML file")
        return path
    return FILE_NAME if os.path.lexists(FILE_NAME) else None


def _read(path: str) -> ConfigFile:
    shown = printable(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{shown}: not UTF-8, at byte {exc.start}; save it as UTF-8") from None
    except OSError as exc:
        raise ConfigError(f"{shown}: cannot be read: {exc.strerror}; name a TOML file") from None
    return parse_config(text, shown, RUN_KEYS)


def _settings(file: ConfigFile, flags: Mapping[str, Any]) -> RunSettings:
    """The settings of the run; the file's are looked at even where a flag wins."""
    said = {name: value for name, value in file.run.items() if name in _SETTINGS}
    given = {name: value for name, value in flags.items() if name in _SETTINGS}
    try:
        RunSettings(**said)
    except ConfigError as exc:
        raise in_file(file.path, exc.within("run")) from None
    try:
        return RunSettings(**{**said, **given})
    except ConfigError as exc:
        raise ConfigError(f"--{exc.key.replace('_', '-')}: {exc.why}") from None


def _other_options(file: ConfigFile, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are no settings of the engine."""
    others = {name: option for name, option in _OPTIONS.items() if name not in _SETTINGS}
    values = {name: option.fallback for name, option in others.items()}
    for name, value in file.run.items():
        if name in others:
            try:
                values[name] = file_value(others[name], value)
            except ConfigError as exc:
                raise in_file(file.path, exc.within(f"run.{name}")) from None
    if flags.get("verbose"):
        values["quiet"] = False
    return values | {name: value for name, value in flags.items() if name in others}


def file_value(option: Option, value: Any) -> Any:
    """A value of the file, as the option would have it.

    Raises:
        ConfigError: it is none for this option.
    """
    if option.count:
        if not isinstance(value, int) or not 0 <= value <= MOST_VERBOSE:
            raise ConfigError(f"{describe(value)} is neither true nor false nor {MOST_VERBOSE}")
        return int(value)
    if option.is_flag:
        if not isinstance(value, bool):
            raise ConfigError(f"{describe(value)} is neither true nor false")
        return value
    if isinstance(option.type, click.Choice):
        if value not in option.type.choices:
            raise ConfigError(f"{describe(value)} is none; write {one_of(option.type.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ConfigError(f"{describe(value)} is neither a text nor a number")
    try:
        return option.type.convert(str(value), None, None)
    except click.BadParameter as exc:
        raise ConfigError(printable(exc.message).rstrip(".")) from None


def _apis(file: ConfigFile, options: Mapping[str, Any], flags: Collection[str]) -> Iterator[Api]:
    """The file's APIs, then those that are added.

    Args:
        flags: names of options that were given, and win.
    """
    given: Sequence[tuple[str, str]] = options["apis"]
    words = _words(options)
    if words and not given:
        flag = next(iter(words)).removesuffix("s")
        raise ConfigError(f"--{flag}: it is for the -a APIs, and there is none; add -a NAME=URL")
    try:
        for name, keys in file.apis.items():
            urls = [url for other, url in given if other == name]
            for url in urls:
                yield Api(
                    name, **_without(inherit(keys, {**words, "url": url}), flags, "endpoints")
                )
            if not urls:
                Api(name, **keys)  # what a flag wins over is looked at too
                yield Api(name, **_without(keys, flags))
        shared = _without(file.defaults, flags, "url", "endpoints", *_NOT_FOR_OTHER_HOSTS)
        for name, url in given:
            if name not in file.apis:
                yield Api(name, **{**shared, **words, "url": url})
    except ConfigError as exc:
        raise _in_its_place(file, options, exc) from None


def _words(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say of the `-a` APIs."""
    words = {word: options[word] for word in _OF_NEW_APIS if options[word] is not None}
    headers = _joined(options["headers"])
    return {**words, "headers": headers} if headers else words


def _without(keys: Mapping[str, Any], flags: Collection[str], *others: str) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key not in flags and key not in others}


def _in_its_place(
    file: ConfigFile, options: Mapping[str, Any], mistake: ConfigError
) -> ConfigError:
    """A mistake in an API: with its key path, if it is from the file."""
    key = mistake.key.partition(".")[0]
    added = [name for name, _ in options["apis"]]
    if mistake.api is None or (mistake.api in added and (key == "url" or key in _words(options))):
        return mistake
    keys = file.apis.get(mistake.api)
    if key in file.defaults and (keys is None or keys.get(key) is file.defaults[key]):
        return in_file(file.path, mistake.within("defaults"))
    if key in file.run and (keys is None or key not in keys):
        return in_file(file.path, mistake.within("run"))
    return mistake if keys is None else in_file(file.path, mistake)


def _joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """One line for each name (RFC 9110, section 5.3; for Cookie, RFC 6265, section 5.4)."""
    lines: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), (name, []))[1].append(value)
    return {
        name: ("; " if key == "cookie" else ", ").join(values)
        for key, (name, values) in lines.items()
    }

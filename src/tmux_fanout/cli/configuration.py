"""The configuration file and the flags, merged.

    flags  >  [api.NAME]  >  [defaults]  >  [run]  >  the program's defaults

A flag wins wherever the file has the same key.  `-a NAME=URL` adds an API, or gives the file's API
of that name another URL.  An added API inherits the `[defaults]` except `headers`, `auth` and
`tls`: what is meant for one host must not reach another that the file does not know.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import click
import msgspec

from tmux_fanout.cli.arguments.form import choose_emit
from tmux_fanout.cli.arguments.given import GivenApi, given_apis
from tmux_fanout.cli.arguments.sources import describe_origin, read_config
from tmux_fanout.cli.arguments.suspicious import warnings_about
from tmux_fanout.cli.help import Option
from tmux_fanout.cli.options import RUN_OPTIONS
from tmux_fanout.cli.types import FILE_NAME
from tmux_fanout.core.config.config_file import (
    ConfigFile,
    in_file,
    locate,
    parse_tables,
)
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ConfigErrors
from tmux_fanout.core.merging.files import Sources
from tmux_fanout.core.merging.inheritance import inherit
from tmux_fanout.core.merging.presets import SLOTS, Preset
from tmux_fanout.core.merging.references import commands_in
from tmux_fanout.core.mistakes.finding import SettingMissing, with_all_mistakes
from tmux_fanout.core.mistakes.hidden import check_not_hidden
from tmux_fanout.core.records.dialect import DialectOptions
from tmux_fanout.core.records.parser import InputFormat
from tmux_fanout.core.text import invalid, one_of, printable
from tmux_fanout.core.units import parse_size
from tmux_fanout.engine.configuration.modules import module_folders, search_modules
from tmux_fanout.engine.configuration.secrets import Secrets, with_env_file
from tmux_fanout.transports.select import check_transports
from tmux_fanout.transports.tls import Contexts

NO_API = (
    'no API to call: name one, as in echo \'{"text": "hi"}\' | tmux-fanout '
    f"-a echo=https://httpbin.org/post   (or under [api.NAME] in ./{FILE_NAME}; "
    "or try it without any: tmux-fanout demo)"
)

MAX_VERBOSE = 2

_SETTINGS = frozenset(RunSettings.__struct_fields__)
_OPTIONS = {option.name: option for option in RUN_OPTIONS if option.in_file and option.name}
RUN_KEYS = (*_OPTIONS, *(field for field in RunSettings.__struct_fields__ if field not in _OPTIONS))

_PLACES = ("endpoints", "socket", "connect_to")  # which a URL takes the place of
_NOT_FOR_OTHER_HOSTS = ("headers", "auth", "tls", "preset", *SLOTS)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """File and flags, merged and resolved.

    Attributes:
        origin: the file, what it includes and the profile, as messages show them; None: no file.
        apis: the APIs as they are written, the file's first.
        settings: the settings of the run as they are written.
        plan: what both resolve to.
        contexts: for TLS, with the files that the settings name already read.
        env: the environment, with secrets by their references.
        variables: those in it that are not in the environment of this process.
        folders: those in which modules are found beside the usual ones.
        options: all other options of the command, with nothing left open.
        warnings: lines on settings that are probably not meant so.
    """

    origin: str | None
    apis: Sequence[Api]
    settings: RunSettings
    plan: RunPlan
    contexts: Contexts
    env: Mapping[str, str]
    variables: Mapping[str, str]
    folders: Sequence[str]
    options: Mapping[str, Any]
    warnings: Sequence[str] = ()

    @property
    def dialect(self) -> DialectOptions:
        """How the rows of tables in the input are written."""
        return DialectOptions(self.options["delimiter"], self.options["quote"])


def configure(
    options: Mapping[str, Any], env: Mapping[str, str], *, is_local: bool = False
) -> Configuration:
    """Read the configuration file, if there is one, and merge the options over it.

    Args:
        options: of `run`, as click parses them; None where an option is not given.
        env: the environment, for `${VAR}` and to find the file.
        is_local: whether to plan for this machine even where a cluster makes the calls.

    Raises:
        ConfigError: a value cannot be used; the message names the option, or the file and its key.
            All mistakes of the file are found.
    """
    own = env
    if options["env_file"] is not None:
        env = with_env_file(options["env_file"], env)
    written = read_config(options["config"], options["profile"], env)
    folders = () if written is None else module_folders(written)
    search_modules(folders)
    if written is None:
        found = _configure(ConfigFile(Sources("")), None, options, Secrets(env), is_local=is_local)
    else:
        secrets = Secrets(env, commands=commands_in(written.tables))
        found = with_all_mistakes(
            written.tables,
            lambda tables: _configure(
                parse_tables(tables, written.sources, RUN_KEYS),
                describe_origin(written),
                options,
                secrets,
                is_local=is_local,
            ),
        )
    added = {name: text for name, text in found.env.items() if own.get(name) != text}
    return msgspec.structs.replace(found, variables=added, folders=folders)


def _configure(
    file: ConfigFile,
    origin: str | None,
    options: Mapping[str, Any],
    secrets: Secrets,
    *,
    is_local: bool,
) -> Configuration:
    flags = {name: options[name] for name in RUN_KEYS if options.get(name) is not None}
    settings = _settings(file, flags)
    others = _other_options(file, flags)
    given = given_apis(options["given"])
    apis = list(_apis(file, given, flags.keys()))
    if not apis:
        raise SettingMissing(NO_API)
    others_here = {} if is_local else others
    in_urls = others_here.get("cluster") is not None
    try:
        for api in apis:
            check_not_hidden(api.name, msgspec.structs.asdict(api))
        env = secrets.environment(apis, in_urls=in_urls)
        plan, contexts = _plan(apis, settings, env, others_here)
    except ConfigError as exc:
        errors = [
            _of_option(each) if each.key in flags else _located(file, given, each)
            for each in secrets.with_unset(exc, apis, in_urls=in_urls)
        ]
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors) from None
    others["emit"] = choose_emit(others, flags)
    return Configuration(
        origin=origin,
        apis=apis,
        settings=settings,
        plan=plan,
        contexts=contexts,
        env=env,
        variables={},
        folders=(),
        options={**options, **others},
        warnings=[line for api in apis for line in warnings_about(api, env)],
    )


def _plan(
    apis: Sequence[Api], settings: RunSettings, env: Mapping[str, str], others: Mapping[str, Any]
) -> tuple[RunPlan, Contexts]:
    """Return what to run, and the TLS contexts for it, none of which are needed with a cluster."""
    if others.get("cluster") is None:
        plan = plan_run(apis, settings, env)
        with redirect_stdout(sys.stderr):  # it may import modules of the user's, which may print
            return plan, check_transports(plan.apis)
    from tmux_fanout.core.dealing.cluster import check_sendable, plan_for_cluster  # needed rarely

    if others["workers"] != 1:
        why = "the workers are those of the cluster: leave --workers or --cluster out"
        raise ConfigError(why, key="workers")
    check_sendable(apis)
    return plan_for_cluster(apis, settings, env), {}


class InputConfiguration(NamedTuple):
    """How file and flags say that input is read.

    Attributes:
        input_format: None: by file extension.
        dialect: how the rows of tables are written.
        max_line: maximum bytes of a line.
        unordered: whether the output of the run is in no particular order.
    """

    input_format: InputFormat | None
    dialect: DialectOptions
    max_line: int
    unordered: bool


def configure_input(options: Mapping[str, Any], env: Mapping[str, str]) -> InputConfiguration:
    """Return how to read input, for a command that calls no API.

    Args:
        options: some of those of `run`, `config` and `profile` among them; None where one is not
            given.
        env: the environment, to find the file.

    Raises:
        ConfigError: as `configure` does.
    """
    written = read_config(options["config"], options["profile"], env)
    file = ConfigFile(Sources(""))
    if written is not None:
        file = parse_tables(written.tables, written.sources, RUN_KEYS)
    flags = {name: value for name, value in options.items() if name in RUN_KEYS}
    given = {name: value for name, value in flags.items() if value is not None}
    settings = _settings(file, given)
    others = _other_options(file, given)
    return InputConfiguration(
        input_format=others["input_format"],
        dialect=DialectOptions(others["delimiter"], others["quote"]),
        max_line=parse_size(settings.max_line),
        unordered=settings.unordered,
    )


def _settings(file: ConfigFile, flags: Mapping[str, Any]) -> RunSettings:
    """Return the settings of the run; the file's are checked even where a flag wins."""
    written = {name: value for name, value in file.run.items() if name in _SETTINGS}
    given = {name: value for name, value in flags.items() if name in _SETTINGS}
    try:
        RunSettings(**written)
    except ConfigError as exc:
        raise in_file(file.sources, exc.within("run")) from None
    try:
        return RunSettings(**{**written, **given})
    except ConfigError as exc:
        raise _of_option(exc) from None


def _of_option(error: ConfigError) -> ConfigError:
    """Return an error in a setting as the user of its option reads it."""
    of_api = "" if error.api is None else f"API {error.api!r}: "
    found = ConfigError(f"{of_api}--{error.key.replace('_', '-')}: {error.why}")
    found.key = error.key  # the text has it as an option already
    return found


def _other_options(file: ConfigFile, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not settings of the engine."""
    others = {name: option for name, option in _OPTIONS.items() if name not in _SETTINGS}
    values = {name: option.fallback for name, option in others.items()}
    for name, value in file.run.items():
        if name in others:
            try:
                values[name] = file_value(others[name], value)
            except ConfigError as exc:
                raise in_file(file.sources, exc.within(f"run.{name}")) from None
    if flags.get("verbose"):
        values["quiet"] = False
    return values | {name: value for name, value in flags.items() if name in others}


def file_value(option: Option, value: Any) -> Any:
    """Return a value of the file as the option parses it.

    Raises:
        ConfigError: the option does not take it.
    """
    if option.count:
        if not isinstance(value, int) or not 0 <= value <= MAX_VERBOSE:
            raise ConfigError(invalid("value", value, f"true, false or {MAX_VERBOSE}"))
        return int(value)
    if option.is_flag:
        if not isinstance(value, bool):
            raise ConfigError(invalid("value", value, "true or false"))
        return value
    if isinstance(option.type, click.Choice):
        if value not in option.type.choices:
            raise ConfigError(invalid("value", value, one_of(option.type.choices)))
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ConfigError(invalid("value", value, "text in quotes, or a number"))
    try:
        return option.type.convert(str(value), None, None)
    except click.BadParameter as exc:
        raise ConfigError(printable(exc.message).rstrip(".")) from None


def _apis(file: ConfigFile, given: Sequence[GivenApi], flags: Collection[str]) -> Iterator[Api]:
    """Yield the file's APIs, then the added ones.

    Args:
        file: the configuration file.
        given: the `-a` APIs.
        flags: names of the options that are given, and win.
    """
    try:
        for name, keys in file.apis.items():
            others = [api for api in given if api.name == name]
            for api in others:
                own = inherit(keys, {**api.keys, "url": api.url})
                yield Api(name, **_without(own, flags, *_PLACES))
            if not others:
                Api(name, **keys)  # to check the values that flags win over, too
                yield Api(name, **_without(keys, flags))
        shared = _without(file.defaults, flags, "url", *_PLACES, *_NOT_FOR_OTHER_HOSTS)
        for api in given:
            if api.name not in file.apis:
                yield Api(api.name, **{**shared, **api.keys, "url": api.url})
    except ConfigError as exc:
        raise _located(file, given, exc) from None


def _without(keys: Mapping[str, Any], flags: Collection[str], *others: str) -> dict[str, Any]:
    kept = {key: value for key, value in keys.items() if key not in flags and key not in others}
    preset = kept.get("preset")
    return kept | {"preset": preset.without(flags)} if isinstance(preset, Preset) else kept


def _located(file: ConfigFile, given: Sequence[GivenApi], error: ConfigError) -> ConfigError:
    """Return an error in an API's setting with the key path that it has in the file, if any."""
    key = error.key.partition(".")[0]
    is_of_given = any(api.name == error.api and (key == "url" or key in api.keys) for api in given)
    return error.within(api=error.api) if is_of_given else locate(file, error)

"""Plans of a program: APIs and settings, which may come from a configuration file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tmux_fanout.core.config.config_file import (
    COMMAND_KEYS,
    ConfigFile,
    locate,
    parse_tables,
)
from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.config.tables import unknown_key
from tmux_fanout.core.errors import ConfigError, ConfigErrors
from tmux_fanout.core.merging.references import commands_in
from tmux_fanout.core.mistakes.finding import SettingMissing, with_all_mistakes
from tmux_fanout.core.mistakes.hidden import check_not_hidden
from tmux_fanout.core.text import invalid
from tmux_fanout.engine.configuration.files import Profile, read_tables
from tmux_fanout.engine.configuration.modules import module_folders, search_modules
from tmux_fanout.engine.configuration.secrets import Secrets
from tmux_fanout.engine.process import connections_left
from tmux_fanout.transports.select import check_transports
from tmux_fanout.transports.tls import Contexts

if TYPE_CHECKING:
    from tmux_fanout.engine.workers.assignment import WorkerJob

_SETTINGS = RunSettings.__struct_fields__
_RUN_KEYS = (*_SETTINGS, *COMMAND_KEYS)


class Plan(msgspec.Struct, frozen=True):
    """APIs and settings to run with, as a configuration file has them.

        async with fanout(records, Plan.from_file("enrich.toml")) as results: ...

    Args:
        apis: The APIs to call, each with its own name.
        settings: Values for keywords of `fanout` that are left out there.
        secrets: What the commands of a configuration file have printed, by `cmd:` and the command.

    Raises:
        ConfigError: A setting is unknown, or has an invalid value.
    """

    apis: Sequence[Api]
    settings: Mapping[str, Any] = {}
    secrets: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for key in self.settings:
            if key not in _SETTINGS:
                raise unknown_key(key, _SETTINGS)
        RunSettings(**self.settings)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, profile: str | None = None) -> Plan:
        """Return what a configuration file of the command says.

        Keys under `[run]` that only the command has a use for, such as `output` and `workers`, are
        ignored.  `${VAR}` and `${file:...}` are what they are when the plan is used; `${cmd:...}`
        runs here, once.

        Args:
            path: Of a TOML file.
            profile: Name of a profile of the file, whose tables win over the others.

        Raises:
            ConfigError: The file cannot be read, or has mistakes; the message names the key of
                each, on a line of its own.
        """
        chosen = None if profile is None else Profile(profile, "profile")
        written = read_tables(os.fspath(path), chosen)
        search_modules(module_folders(written))
        secrets = Secrets(os.environ, commands=commands_in(written.tables))
        return with_all_mistakes(
            written.tables,
            lambda tables: cls._from_file(
                parse_tables(tables, written.sources, _RUN_KEYS), secrets
            ),
        )

    @classmethod
    def _from_file(cls, file: ConfigFile, secrets: Secrets) -> Plan:
        settings = {key: value for key, value in file.run.items() if key in _SETTINGS}
        apis: Sequence[Api] = ()
        try:
            apis = [Api(name, **keys) for name, keys in file.apis.items()]
            plan = cls(apis, settings)
            if not plan.apis:
                why = f"{file.sources.main}: no API to call: add a table such as [api.lookup]"
                raise SettingMissing(why)
            for api in plan.apis:
                check_not_hidden(api.name, msgspec.structs.asdict(api))
            env = secrets.environment(plan.apis)
            run = plan_run(plan.apis, RunSettings(**settings), env)
            check_transports(run.apis)
        except ConfigError as exc:
            errors = [locate(file, each) for each in secrets.with_unset(exc, apis)]
            raise errors[0] if len(errors) == 1 else ConfigErrors(errors) from None
        return msgspec.structs.replace(plan, secrets=secrets.of_commands)

    def __repr__(self) -> str:
        return f"<Plan: {', '.join(api.name for api in self.apis)}>"  # the rest may hold secrets


class OnCluster(NamedTuple):
    """Where and how the members of a cluster make the calls of a run.

    Attributes:
        address: as `parse_cluster` takes it.
        job: what they do.
        trust_network: whether others may be able to reach the cluster.
    """

    address: str
    job: WorkerJob
    trust_network: bool


class Resolved(NamedTuple):
    """What `fanout` is to do.

    Attributes:
        plan: of the run.
        contexts: for TLS, as for `open_transports`.
        cluster: where the calls are made; None: in this process.
    """

    plan: RunPlan
    contexts: Contexts
    cluster: OnCluster | None = None


def resolve(
    records: object,
    apis: Sequence[Api] | Plan,
    progress: object,
    *,
    cluster: str | None = None,
    trust_network: bool | None = None,
    **keywords: Any,
) -> Resolved:
    """Return what to do, after all checks for which nothing is opened.

    Args:
        records: what to send.
        apis: the APIs, or a plan.
        progress: function to call, or None.
        cluster: address of a cluster, or None.
        trust_network: whether others may be able to reach it.
        keywords: settings of the run; those that are None are as in the plan, or the default.

    Raises:
        ConfigError: a value cannot be used.
    """
    _check_records(records)
    if progress is not None and not callable(progress):
        advice = "a function that takes the statistics"
        raise ConfigError(invalid("progress function", progress, advice), key="progress")
    plan = apis if isinstance(apis, Plan) else Plan(_listed(apis))
    given = {key: value for key, value in keywords.items() if value is not None}
    settings = RunSettings(**{**plan.settings, **given})
    try:
        if cluster is not None:
            return _on_cluster(plan.apis, settings, cluster, trust_network=bool(trust_network))
        env = Secrets(os.environ, known=plan.secrets).environment(plan.apis)
        run = fit(plan_run([*plan.apis], settings, env), connections_left())
        return Resolved(run, check_transports(run.apis))
    except ConfigError as exc:
        raise exc.in_python() from None


def _on_cluster(
    apis: Sequence[Api], settings: RunSettings, cluster: str, *, trust_network: bool
) -> Resolved:
    from tmux_fanout.core.dealing.cluster import (  # needed rarely
        check_sendable,
        parse_cluster,
        plan_for_cluster,
    )
    from tmux_fanout.engine.workers.assignment import WorkerJob

    try:
        parse_cluster(cluster)
    except ConfigError as exc:
        raise exc.within("cluster") from None
    check_sendable(apis)
    env = Secrets(os.environ).environment(apis, in_urls=True)
    plan = plan_for_cluster([*apis], settings, env)
    job = WorkerJob(
        [*apis],
        settings,
        workers=1,
        emit="body",  # the shortest: it is the outcomes that are needed here
        mends=False,
        verbose=2,
        interval=0.5,
        slots=plan.window,
        tracks_sent=not all(api.retry.idempotent for api in plan.apis),
    )
    return Resolved(plan, {}, OnCluster(cluster, job, trust_network))


def _check_records(records: object) -> None:
    """Refuse what can be iterated over, but hardly holds a record in each item.

    Raises:
        ConfigError: It is one record, a path, or a file whose lines would be sent as texts.
    """
    if isinstance(records, (str, bytes, bytearray, memoryview, os.PathLike)):
        why = 'not a list of records: use [record], or open(path, "rb") for a file of JSON lines'
    elif isinstance(records, Mapping):
        why = "this is one record: use [record]"
    elif isinstance(records, io.TextIOBase):
        why = (
            'a file of text: open it with "rb" if its lines are JSON (standard input is '
            'sys.stdin.buffer), else use (line.rstrip("\\n") for line in file)'
        )
    else:
        return
    raise ConfigError(why, key="records")


def _listed(apis: object) -> Sequence[Api]:
    """Return the APIs as a list.

    Raises:
        ConfigError: They are something else, such as one API or the path of a file.
    """
    listed: list[Any] = [*apis] if isinstance(apis, Iterable) else [None]
    if not all(isinstance(each, Api) for each in listed):
        advice = 'use one such as [Api("a", "https://a.example/v1")], or Plan.from_file("a.toml")'
        raise ConfigError(f"not a list of APIs: {advice}", key="apis")
    return listed

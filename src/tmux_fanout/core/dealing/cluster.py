"""What a run on a cluster may be told, and what the process that deals its records plans.

Whoever reaches the scheduler of a Dask cluster can read and run anything there.  So an address must
be one that others cannot listen to, unless the user trusts the network, and no secret leaves this
machine: a setting says `${VAR}`, and each member has the value in its own environment.  This
process makes no calls, so it plans without secrets, and need not have them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import asdict, replace

from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.rules import rules_of
from tmux_fanout.core.config.settings import STRETCHED_WINDOW, Api, RunSettings
from tmux_fanout.core.config.tables import parse_auth, parse_endpoints
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Auth, Signer
from tmux_fanout.core.http.urls import VARIABLE
from tmux_fanout.core.merging.inheritance import sent_headers
from tmux_fanout.core.merging.references import COMMAND, find_references
from tmux_fanout.core.redaction import find_written_out
from tmux_fanout.core.text import invalid

_FORMS = "tcp://HOST:PORT, tls://HOST:PORT or file:scheduler.json"
_FILE = "file:"


def parse_cluster(text: object) -> str:
    """Return the address of a scheduler, or `file:` and the path of its file.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(text, str) and text.startswith(_FILE) and text != _FILE:
        return text
    if not isinstance(text, str) or not _is_address(text):
        raise ConfigError(invalid("address of a cluster", text, _FORMS))
    return text


def scheduler_file(cluster: str) -> str | None:
    """Return the path of the scheduler's file; None if the address is given directly."""
    return cluster.removeprefix(_FILE) if cluster.startswith(_FILE) else None


def read_scheduler_file(content: str) -> str:
    """Return the address in the content of a scheduler's file.

    Raises:
        ConfigError: it is not such a file.
    """
    try:
        address = json.loads(content)["address"]
    except (ValueError, TypeError, KeyError):
        address = None
    if not isinstance(address, str) or not _is_address(address):
        advice = "use the one that `dask scheduler --scheduler-file` writes"
        raise ConfigError(f"no address of a scheduler in this file: {advice}", key="cluster")
    return address


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_known = parts.scheme in ("tcp", "tls") and bool(parts.hostname and parts.port)
    except ValueError:
        return False
    return is_known and not parts.path and "@" not in parts.netloc


def check_trusted(address: str, *, trust_network: bool) -> None:
    """Check that others cannot take part in a connection to a scheduler.

    Raises:
        ConfigError: they can, and the user has not said that this is fine.
    """
    parts = urlsplit(address)
    if parts.scheme == "tls" or trust_network or _is_loopback(parts.hostname or ""):
        return
    why = "whoever reaches a scheduler without TLS can run programs on its workers"
    advice = "use tls://, or --trust-network if nobody else can reach it"
    raise ConfigError(f"{why}: {advice}", key="cluster")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_sendable(apis: Sequence[Api]) -> None:
    """Check that other machines can be told of the APIs, and that this tells them no secret.

    Raises:
        ConfigError: a secret is written out, or a client of the program's own is to be used.
    """
    for api in apis:
        if api.client is not None:
            why = "a client cannot be sent to other machines: leave client or cluster out"
            raise ConfigError(why, key="client", api=api.name)
        if not all(map(_is_written, _auths(api))):
            why = "a function cannot be sent to other machines, nor can objects: name the function"
            advice = 'as "package.module:function", and use texts and numbers beside it'
            raise ConfigError(f"{why} {advice}", key="auth.call", api=api.name)
        if api.hosts is not None:
            why = "not on a cluster, whose members do not share limits by host: use --workers"
            raise ConfigError(why, key="hosts", api=api.name)
        for reference in find_references([api]):
            if reference.name.startswith(COMMAND):
                why = (
                    "it would run on every machine of the cluster: use ${VAR} or ${file:...} there"
                )
                raise reference.error(why)
        rules = rules_of(Api)
        for key, value in asdict(api).items():
            shown = rules[key].show(value) if value is not None and key in rules else value
            if where := find_written_out(key, shown):
                why = "a secret in the open would be seen on the cluster"
                advice = "write ${VAR}, and set VAR where the workers run"
                raise ConfigError(f"{why}: {advice}", key=where, api=api.name)


def _auths(api: Api) -> Iterator[Auth]:
    """Yield the credentials of an API, and of its endpoints."""
    if api.auth is not None:
        yield parse_auth(api.auth)
    for endpoint in parse_endpoints(api.endpoints):
        if endpoint.auth:
            yield endpoint.auth


def _is_written(auth: Auth) -> bool:
    """Return whether credentials could stand in a configuration file."""
    if not isinstance(auth, Signer):
        return True
    try:
        json.dumps(auth.arguments)
    except (TypeError, ValueError):
        return False
    return isinstance(auth.function, str)


def plan_for_cluster(apis: Sequence[Api], settings: RunSettings, env: Mapping[str, str]) -> RunPlan:
    """Return the plan of the process that deals records to a cluster, made without secrets.

    Raises:
        ConfigError: as `plan_run` does.  A variable that is only in headers, `auth`, `proxy`,
            `socket`, `connect_to` or `tls` may be missing here.
    """
    known = {**env, **{name: "-" for api in apis for name in _variables_in_headers(api)}}
    elsewhere = dict.fromkeys(("auth", "proxy", "socket", "connect_to", "tls"))
    bare = [replace(api, endpoints=_bare(api), **elsewhere) for api in apis]
    plan = plan_run(bare, replace(settings, env_proxy=False), known)
    window = plan.window if settings.window else max(STRETCHED_WINDOW, plan.window)
    return replace(plan, window=window, stretched_window=window)


def _bare(api: Api) -> list[Any]:
    return [replace(endpoint, auth=None) for endpoint in parse_endpoints(api.endpoints)]


def _variables_in_headers(api: Api) -> Iterator[str]:
    """Yield the variables that are in headers, and in no URL."""
    endpoints = parse_endpoints(api.endpoints)
    urls = " ".join([api.url, *(endpoint.url for endpoint in endpoints)])
    needed = set(VARIABLE.findall(urls))
    for headers in (api.headers, *(endpoint.headers for endpoint in endpoints)):
        for text in sent_headers(headers).values():
            yield from (name for name in VARIABLE.findall(text) if name not in needed)

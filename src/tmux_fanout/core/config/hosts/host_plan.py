"""From an API's `hosts`, `host_limit` and `host_rate` to what the engine keeps to."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tmux_fanout.core.config import settings as default
from tmux_fanout.core.config.choice import Choice
from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.rules import ANYWHERE, HostRules, parse_hosts
from tmux_fanout.core.http.proxies import proxy_for
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.rate import RateSettings, parse_rate
from tmux_fanout.core.requests.urls.record_url import RecordUrl, takes_host_from_record

_PATIENCE = 60.0  # seconds that calls wait for a host that is down
_PATIENCE_WITH_NEW = 5.0  # the same if the host has never served: many such names are dead

_BY_HOST = ("batch", "pages", "poll", "cost", "spent", "price")  # of APIs that have one host
_WITHOUT = {
    "endpoints": "the host comes from the record",
    "batch": "each record has a request of its own",
    "pages": "each record makes a single request",
    "poll": "each record makes a single request",
    "hedge": "a second attempt would go to the same host",
    "cost": "units are not counted by host",
    "spent": "units are not counted by host",
    "price": "units are not counted by host",
    "rate_group": "the API has hosts of its own",
    "client": "it does not check addresses",
    "socket": "each host has an address of its own",
    "connect_to": "each host has an address of its own",
    "proxy": "the proxy would resolve names, unchecked",
    "http2": "only transport native checks addresses",
}


class HostPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The hosts of an API, which come from its records.

    Attributes:
        rules: which they may be.
        url: finds them in records.
        limit: maximum attempts in flight at each.
        rate: maximum attempts per second at each; None: unlimited.
    """

    rules: HostRules
    url: RecordUrl
    limit: int
    rate: float | None = None

    def share(self, processes: int) -> HostPlan:
        """Return the plan of one of several processes, each of which has its own count of calls."""
        rate = None if self.rate is None else self.rate / processes
        return msgspec.structs.replace(self, limit=self.limit // processes, rate=rate)


class HostBreakerSettings(BreakerSettings, frozen=True):
    """A breaker of hosts: nobody knows which of them exist, so calls are less patient."""

    def patience(self, *, has_served: bool) -> float:
        if self.wait is not None:
            return self.wait
        return _PATIENCE if has_served else _PATIENCE_WITH_NEW


def plan_hosts(api: Api, url: str, credentials: str) -> HostPlan | None:
    """Return the plan of an API's hosts; None if its host does not come from records.

    Args:
        api: as it was written.
        url: its URL, with the variables expanded.
        credentials: the setting that has its credentials, or "".

    Raises:
        ConfigError: the settings contradict each other.
    """
    if api.hosts is None:
        for key in ("host_limit", "host_rate"):
            if getattr(api, key) is not None:
                why = "only for hosts that come from records: add hosts, or leave it out"
                raise ConfigError(why, key=key)
        if not api.endpoints and takes_host_from_record(url):
            why = "a host cannot come from a record, unless hosts lists those that may"
            example = 'hosts = ["*.example.com"] (--hosts)'
            raise ConfigError(f"{why}: add one such as {example}", key="url")
        return None
    for key, why in _WITHOUT.items():
        if getattr(api, key):
            advice = "leave one of the two out"
            if key in _BY_HOST:
                advice = "leave it out, or add an API for each host, with the host in its url"
            raise ConfigError(f"not beside hosts, as {why}: {advice}", key=key)
    if any(name.lower() == "host" for name in api.headers):
        raise ConfigError("the host comes from the record: leave it out", key="headers.Host")
    if not takes_host_from_record(url):
        why = 'no effect, as url has its host: use one such as "{+url}", or leave hosts out'
        raise ConfigError(why, key="hosts")
    rules = parse_hosts(api.hosts)
    if credentials and rules.allow_any_host:
        why = f"any host would get the credentials ({credentials}): list the hosts in place of *"
        raise ConfigError(why, key="hosts")
    return HostPlan(
        rules=rules,
        url=RecordUrl(url, rules, needs_https=bool(credentials)),
        limit=api.host_limit or default.HOST_LIMIT,
        rate=None if api.host_rate is None else parse_rate(api.host_rate),
    )


def check_transport(choice: Choice, env: Mapping[str, str]) -> None:
    """Check that names are resolved, and addresses checked, by the native transport.

    Args:
        choice: of the transport.
        env: the environment, for `https_proxy` and the like; empty if those do not count.

    Raises:
        ConfigError: another transport, or a proxy, would connect.
    """
    for scheme in ("http", "https"):
        if proxy := proxy_for(ANYWHERE._replace(scheme=scheme), env):
            why = f"{proxy.source} names a proxy, which would resolve names, unchecked: use"
            raise ConfigError(f"{why} --no-env-proxy, or leave hosts out", key="hosts")
    if choice.transport != "native":
        why = f"{choice.transport} does not check addresses: use native beside hosts"
        raise ConfigError(why, key="transport")


def check_limits(limit: int | Adaptive, rate: RateSettings | None) -> None:
    """Check that the limits of an API as a whole go with `hosts`.

    Raises:
        ConfigError: one of them does not.
    """
    if isinstance(limit, Adaptive):
        why = "no single limit suits all hosts: use a number beside hosts"
        raise ConfigError(why, key="limit")
    if rate is not None and rate.tokens is not None:
        why = 'units are not counted by host: use one such as "50/s" beside hosts'
        raise ConfigError(why, key="rate")

"""The hosts that records may name (`hosts`).

    *                 any host with a public address
    *.example.com     the names below example.com
    api.example.org   this name
    10.1.0.0/16       these addresses, whether a URL has one of them or a name resolves to one
    HOST:8443         that port; :* any; by default that of the scheme

A name is checked when the request is built, the address when the connection is made: it has to be
public, unless one of the addresses or this very name is listed.  Names that only fit a `*` belong
to whoever wrote the record, and may resolve to anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.addresses import Address, is_public, parse_address
from tmux_fanout.core.http.hosts import parse_host
from tmux_fanout.core.http.messages import Origin, default_port
from tmux_fanout.core.text import invalid

ANY_HOST = "*"
ANYWHERE = Origin("https", ANY_HOST, default_port("https"))
"""Stands for the origins of requests whose hosts come from records."""

_EXAMPLE = '["*.example.com", "api.example.org:8443"]'
_PATTERN = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(\d{1,5}|\*))?")
TO_ALLOW = "; to allow it, list it in hosts"
_ANY_PORT = 0
_MAX_PORT = 65535


class HostRefused(ValueError):
    """A record names a host that is not allowed; the text says why."""


class HostPattern(msgspec.Struct, frozen=True):
    """One of the `hosts`.

    Attributes:
        host: a name, a `*`, a name that begins with `*.`, or addresses in the form of `network`.
        port: the port; 0 is any, None that of the scheme.
        network: the addresses; None: it is a name.
    """

    host: str
    port: int | None
    network: IPv4Network | IPv6Network | None = None

    def __str__(self) -> str:
        if self.port is None:
            return self.shown_host
        return f"{self.shown_host}:{'*' if self.port == _ANY_PORT else self.port}"

    @property
    def shown_host(self) -> str:
        """The host as it is written in front of a port."""
        network = self.network
        if network is None:
            return self.host
        host = str(network.network_address if network.num_addresses == 1 else network)
        return f"[{host}]" if network.version == 6 else host

    def fits_port(self, origin: Origin) -> bool:
        if self.port is None:
            return origin.port == default_port(origin.scheme)
        return self.port in (_ANY_PORT, origin.port)

    @property
    def is_wildcard(self) -> bool:
        return self.host.startswith("*")

    def fits_name(self, name: str) -> bool:
        """Return whether a name is covered; a `*` stands for one label or several."""
        if self.network:
            return False
        return name.endswith(self.host[1:]) if self.is_wildcard else name == self.host

    def fits_address(self, address: Address) -> bool:
        return self.network is not None and address in self.network


class HostRules(msgspec.Struct, frozen=True):
    """Decides where requests may go.

    Attributes:
        patterns: the `hosts`, one or more.
    """

    patterns: tuple[HostPattern, ...]

    def __repr__(self) -> str:
        return f"<HostRules: {self}>"

    def __str__(self) -> str:
        return ", ".join(map(str, self.patterns))

    @property
    def allow_any_host(self) -> bool:
        """Whether `*` is among the patterns."""
        return any(pattern.host == ANY_HOST for pattern in self.patterns)

    def canonical(self, origin: Origin) -> Origin:
        """Return an origin that a record names, its host in the one form that all spellings have.

        Raises:
            HostRefused: it is not allowed.
        """
        try:
            address = parse_address(origin.host)
        except ValueError:
            raise HostRefused(f"the host {origin.host} is not a valid address") from None
        if address is None:
            host = origin.host.removesuffix(".")
            self._check_name(origin, host)
        else:
            if "%" in origin.host:
                raise HostRefused(f"the host {origin.host} is an address with a zone")
            host = str(address)
            self._check_address(origin, address)
        return origin._replace(host=host)

    def _check_name(self, origin: Origin, name: str) -> None:
        fitting = [pattern for pattern in self.patterns if pattern.fits_name(name)]
        if not fitting:
            raise HostRefused(f"the host {name} is not among the hosts of the API")
        _check_port(origin, fitting)

    def _check_address(self, origin: Origin, address: Address) -> None:
        open_to_all = is_public(address)
        fitting = [
            pattern
            for pattern in self.patterns
            if pattern.fits_address(address) or (open_to_all and pattern.host == ANY_HOST)
        ]
        if not fitting:
            if self.allow_any_host:
                raise HostRefused(f"the address {address} is not public{TO_ALLOW}")
            raise HostRefused(f"the host {address} is not among the hosts of the API")
        _check_port(origin, fitting)

    def allow(self, origin: Origin, address: Address) -> bool:
        """Return whether to connect to an address.

        Args:
            origin: a canonical one, whose host is the address, or resolves to it.
            address: the address.
        """
        address = getattr(address, "ipv4_mapped", None) or address
        return is_public(address) or any(
            pattern.fits_port(origin)
            and (
                pattern.fits_address(address)
                or (not pattern.is_wildcard and pattern.fits_name(origin.host))
            )
            for pattern in self.patterns
        )


def _check_port(origin: Origin, fitting: Sequence[HostPattern]) -> None:
    if not any(pattern.fits_port(origin) for pattern in fitting):
        host = fitting[0].shown_host
        advice = f"list {host}:{origin.port}, or {host}:* for any port"
        where = f"the port {origin.port} of {origin.host}"
        raise HostRefused(f"{where} is not among the hosts; to allow it, {advice}")


def parse_hosts(value: Any) -> HostRules:
    """Return the rules that a list of patterns makes.

    Raises:
        ConfigError: it is not a list, is empty, or has an invalid pattern.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(invalid("list", value, f"one such as {_EXAMPLE}"))
    if not value:
        raise ConfigError(f"an empty list: use one such as {_EXAMPLE}, or leave it out")
    return HostRules(tuple(map(parse_pattern, value)))


def parse_pattern(text: Any) -> HostPattern:
    """Return a pattern such as `*.example.com` or `10.0.0.0/8:8080`.

    Raises:
        ConfigError: it is not one.
    """
    advice = "HOST or HOST:PORT, such as *.example.com or api.example.org:8443"
    if not isinstance(text, str):
        raise ConfigError(invalid("host", text, advice))
    if "://" in text:
        raise ConfigError(f"invalid host: leave the scheme and the path out, use {advice}")
    if "," in text:
        each = 'one --hosts for each, or a list such as hosts = ["a.test", "b.test"]'
        raise ConfigError(invalid("host", text, each))
    match = _PATTERN.fullmatch(text)
    if match is None:
        more = "; an IPv6 address stands in brackets" if text.count(":") > 1 else ""
        raise ConfigError(invalid("host", text, advice + more))
    host, port = match[1], _port(text, match[2])
    if host.startswith("[") or "/" in host or _is_address(host):
        network = _network(text, host)
        return HostPattern(str(network), port, network)
    if host == ANY_HOST:
        return HostPattern(host, port)
    star, name = ("*.", host[2:]) if host.startswith("*.") else ("", host)
    if "*" in name:
        more = "a * stands for a whole host or its first parts; networks are written as 10.0.0.0/8"
        raise ConfigError(invalid("host", text, f"{advice}; {more}"))
    try:
        name = parse_host(name).removesuffix(".")
    except ValueError:
        raise ConfigError(invalid("host", text, advice)) from None
    return HostPattern(star + name, port)


def _is_address(host: str) -> bool:
    try:
        return parse_address(host.lower()) is not None
    except ValueError:
        return True  # not a name, in any case


def _network(text: str, host: str) -> IPv4Network | IPv6Network:
    host = host.removeprefix("[").removesuffix("]")
    try:
        if "%" in host:
            raise ValueError("a zone")
        return ip_network(host)
    except ValueError:
        advice = "an address such as 10.0.0.5 or [fd00::5], or a network such as 10.0.0.0/8"
        raise ConfigError(invalid("host", text, advice)) from None


def _port(text: str, port: str | None) -> int | None:
    if port is None:
        return None
    if port == "*":
        return _ANY_PORT
    if not 0 < int(port) <= _MAX_PORT:
        raise ConfigError(invalid("host", text, "a port from 1 to 65535, or * for any"))
    return int(port)

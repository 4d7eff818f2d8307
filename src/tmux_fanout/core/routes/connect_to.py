"""Connecting to another host and port than those of the URL, as curl does with `--connect-to`.

Only the connection goes there: the Host header, SNI and the check of the certificate remain those
of the URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.hosts import parse_host, parse_ip_literal, url_host
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.urls import VARIABLE, expand_variables
from tmux_fanout.core.text import invalid

_FORM = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::(\d*))?", re.ASCII)
_USE = 'host:port, such as "10.0.0.7:8443" or "[::1]:8443"; without a port, that of the URL counts'


class Destination(NamedTuple):
    """Where connections go.

    Attributes:
        host: in the form for the resolver.
        port: None for that of the URL.
    """

    host: str
    port: int | None

    def __str__(self) -> str:
        """Return `host:port`, or the host alone, as in a setting."""
        host = url_host(self.host).replace("%25", "%")
        return host if self.port is None else f"{host}:{self.port}"

    def of(self, origin: Origin) -> Origin:
        """Return what to connect to for an origin."""
        port = origin.port if self.port is None else self.port
        return origin._replace(host=self.host, port=port)


def parse_connect_to(value: Any) -> Destination | None:
    """Return a destination; None if it depends on a variable.

    Raises:
        ConfigError: it is not `host:port`.
    """
    if isinstance(value, str) and VARIABLE.search(value):
        return None
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(invalid("destination", value, _USE))
    address, name, digits = match.groups()
    try:
        host = parse_host(name) if address is None else parse_ip_literal(address)
    except ValueError:
        raise ConfigError(invalid("destination", value, _USE)) from None
    if not digits:
        return Destination(host, None)
    port = int(digits) if len(digits) <= 5 else 0
    if not 0 < port < 65536:
        raise ConfigError(f"invalid port {digits[:20]}: use a number from 1 to 65535")
    return Destination(host, port)


def plan_connect_to(
    value: str | None, env: Mapping[str, str], origins: Iterable[Origin]
) -> Destination | None:
    """Return the destination under `connect_to` with its variables expanded, or None.

    Args:
        value: as it was written.
        env: the environment, for `${VAR}`.
        origins: whose requests go there.

    Raises:
        ConfigError: a variable is not set, or it is not `host:port`; or a Unix socket is to be
            connected to.
    """
    if value is None:
        return None
    if any(origin.socket for origin in origins):
        why = "a Unix socket has no host and port: leave out connect_to, or the socket"
        raise ConfigError(why, key="connect_to")
    expanded = expand_variables(value, env, "connect_to")
    try:
        return parse_connect_to(expanded)
    except ConfigError:  # its message may show the value of a variable
        raise ConfigError(f"not a destination: use {_USE}", key="connect_to") from None

"""Connecting to hosts that come from records, only where the rules allow it.

A name is looked up once for each connection, the addresses are checked, and one of those that were
checked is connected to.  So a name cannot lead to one address when it is checked and to another
when it is used (DNS rebinding).
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address

import trio

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.hosts.rules import TO_ALLOW, HostRules
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.transports.native.connect import Connector
from tmux_fanout.transports.native.resolver import Address, Name

_MAX_LOOK_UPS = 64  # at the same time; those that got no answer in time go on for a while


class GuardedConnector(Connector):
    """Makes connections to allowed addresses, and remembers nothing of a host afterwards.

    Args:
        tls: used where an origin is https.
        timeout: seconds that making a connection may take, from look-up to handshake.
        rules: which addresses are allowed.
    """

    def __init__(self, tls: ssl.SSLContext | None, timeout: float, rules: HostRules) -> None:
        super().__init__(tls, timeout)
        self._rules = rules
        self._threads = trio.CapacityLimiter(_MAX_LOOK_UPS)
        self._users = Counter[Origin]()  # connections being made, by the name that they look up

    async def _addresses_of(self, origin: Origin) -> Sequence[Address]:
        self._users[origin] += 1
        try:
            addresses = await self._name_of(origin).addresses()
        finally:
            self._users[origin] -= 1
            if not self._users[origin]:
                del self._users[origin], self._names[origin]
        allowed = [each for each in addresses if self._is_allowed(origin, each)]
        if not allowed:
            raise TransportError("connect", _refusal(origin, addresses), sent=False)
        return allowed

    def _name_of(self, origin: Origin) -> Name:
        if origin not in self._names:
            self._names[origin] = Name(origin.host, origin.port, self._threads)
        return self._names[origin]

    def _is_allowed(self, origin: Origin, address: Address) -> bool:
        return self._rules.allow(origin, ip_address(address[4][0]))


def _refusal(origin: Origin, addresses: Sequence[Address]) -> str:
    found = dict.fromkeys(str(address[4][0]) for address in addresses)
    where = next(iter(found), "no address")
    return f"not connected to {origin.authority}: its address {where} is not public{TO_ALLOW}"

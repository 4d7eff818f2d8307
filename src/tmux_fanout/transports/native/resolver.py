"""Name look-ups in which one that gets no answer blocks nothing but itself.

A resolver may occupy a thread for as long as it likes, long after its caller has given up.  In
`trio.socket.getaddrinfo` that is one of 40 threads shared by the whole program: a single API whose
name server does not answer could keep all other names from being resolved.  Here each name has a
few threads of its own.  These suffice, as concurrent callers share an answer.

trio can be given a resolver (`trio.socket.set_custom_hostname_resolver`), but only one for the
whole run, which belongs to the program that uses this library.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from tmux_fanout.transports.shortage import MEMORY, THREADS, Shortage

_MAX_THREADS = 4
_MAX_SCOPE = 2**32 - 1
_MAX_DIGITS = len(str(_MAX_SCOPE))

Address = tuple[int, int, int, str, Any]
"""Family, type, protocol, canonical name and socket address, as `socket.getaddrinfo` has them."""


class Name:
    """A host, by name or address, and a port.

    Args:
        host: in the form for the resolver.
        port: the port.
        threads: limits the look-ups, also those that nobody waits for any more; None: a few of the
            name's own.
    """

    def __init__(self, host: str, port: int, threads: trio.CapacityLimiter | None = None) -> None:
        host, _, self._zone = host.partition("%")
        self._look_up: Callable[..., Sequence[Address]] = partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM
        )
        self._threads = threads or trio.CapacityLimiter(_MAX_THREADS)
        self._turn = trio.Lock()
        self._begun = 0
        self._answered = 0  # the number of the look-up that `_answer` is from
        self._answer: Sequence[Address] | OSError = []

    def __repr__(self) -> str:
        unanswered = self._threads.borrowed_tokens
        return f"<Name: looked up {self._begun} times, {unanswered} of them not answered>"

    async def addresses(self) -> Sequence[Address]:
        """Return at least one address, in the resolver's order.

        Raises:
            OSError: it does not resolve.
            UnicodeError: it is not a name that DNS could hold.
        """
        if self._zone:
            return _in_zone(self._look_up(flags=socket.AI_NUMERICHOST), _scope(self._zone))
        try:
            return self._look_up(flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self._shared_answer()

    async def _shared_answer(self) -> Sequence[Address]:
        """Return the answer of a look-up that began after this call did, whoever began it."""
        begun_before = self._begun
        async with self._turn:
            if self._answered <= begun_before:
                self._begun += 1
                number = self._begun
                try:
                    self._answer = await self._look_up_in_thread()
                except OSError as exc:
                    self._answer = exc
                self._answered = number
            if isinstance(self._answer, OSError):
                raise self._answer.with_traceback(None)
            return self._answer

    async def _look_up_in_thread(self) -> Sequence[Address]:
        try:
            return await trio.to_thread.run_sync(
                self._look_up, abandon_on_cancel=True, limiter=self._threads
            )
        except MemoryError as exc:
            raise Shortage(MEMORY, "no memory is left to look up its name") from exc
        except RuntimeError as exc:  # `threading` raises nothing more specific
            raise Shortage(THREADS, "no thread can be started to look up its name") from exc


def _in_zone(addresses: Sequence[Address], scope: int) -> Sequence[Address]:
    """Return IPv6 addresses with their scope.

    `getaddrinfo` accepts names of interfaces for link-local addresses only.
    """
    return [
        (family, kind, protocol, name, (*address[:3], scope))
        for family, kind, protocol, name, address in addresses
    ]


def _scope(zone: str) -> int:
    """Return the number of the interface that a zone names.

    Raises:
        OSError: there is no such interface.
    """
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        if len(zone) <= _MAX_DIGITS and zone.isdecimal() and int(zone) <= _MAX_SCOPE:
            return int(zone)
        raise OSError(f"no network interface {zone!r}") from None

"""Looking up names, so that one which is not answered holds up nothing but itself.

A resolver may keep a thread for as long as it likes, long after those who asked have given up.  In
`trio.socket.getaddrinfo` it is one of 40 threads that all of the program shares: a single API whose
name is not answered could keep the others from being looked up.  Here each name has a few threads
of its own.  That is enough, since whoever asks while it is being looked up shares an answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from tmux_fanout.transports.native.shortage import MEMORY, THREADS, Shortage

_MOST_THREADS = 4
_HIGHEST_SCOPE = 2**32 - 1
_LONGEST_NUMBER = len(str(_HIGHEST_SCOPE))

Address = tuple[int, int, int, str, Any]  # as from getaddrinfo


class Name:
    """A host and port, by name or address."""

    def __init__(self, host: str, port: int) -> None:
        host, _, self._zone = host.partition("%")
        self._look_up: Callable[..., Sequence[Address]] = partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM
        )
        self._threads = trio.CapacityLimiter(_MOST_THREADS)
        self._turn = trio.Lock()
        self._begun = 0
        self._answered = 0  # which of the look-ups begun `_answer` is from
        self._answer: Sequence[Address] | OSError = []

    def __repr__(self) -> str:
        stuck = self._threads.borrowed_tokens
        return f"<Name: looked up {self._begun} times, {stuck} of them not answered>"

    async def addresses(self) -> Sequence[Address]:
        """What it resolves to, at least one address, in the resolver's order.

        Raises:
            OSError: it does not resolve.
            UnicodeError: it is nothing that DNS could hold.
        """
        if self._zone:
            return _in_zone(self._look_up(flags=socket.AI_NUMERICHOST), _scope(self._zone))
        try:
            return self._look_up(flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            return await self._shared_answer()

    async def _shared_answer(self) -> Sequence[Address]:
        asked = self._begun
        async with self._turn:
            if self._answered <= asked:
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
        except RuntimeError as exc:  # which is all that `threading` has for it
            raise Shortage(THREADS, "no thread can be started to look up its name") from exc


def _in_zone(addresses: Sequence[Address], scope: int) -> Sequence[Address]:
    """Return IPv6 addresses with their scope.

    It is put in here because `getaddrinfo` takes names of interfaces for link-local addresses only.
    """
    return [
        (family, kind, protocol, name, (*place[:3], scope))
        for family, kind, protocol, name, place in addresses
    ]


def _scope(zone: str) -> int:
    """Return the number of the interface that a zone names.

    Raises:
        OSError: there is no such interface.
    """
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        if len(zone) <= _LONGEST_NUMBER and zone.isdecimal() and int(zone) <= _HIGHEST_SCOPE:
            return int(zone)
        raise OSError(f"no network interface {zone!r}") from None

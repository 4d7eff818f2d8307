"""Making connections: name, address, handshake.

The first two are what `trio.open_tcp_stream` does, but with look-ups that cannot hold up others
(see `names`), for which it has no opening; so the race of a name's addresses is run here as well.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import cast

import trio
from trio.lowlevel import wait_readable, wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.hosts import tls_host
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.units import show_duration
from tmux_fanout.transports.native.nested_tls import NestedTls
from tmux_fanout.transports.native.resolver import Address, Name
from tmux_fanout.transports.native.shortage import no_address, shortage_of, worst_of

_HEAD_START = 0.25  # seconds that an address has before the next one is tried beside it


class Connector:
    """Makes the connections of one transport.

    Args:
        tls: used where an origin is https.
        timeout: seconds for all of making a connection.
    """

    def __init__(self, tls: ssl.SSLContext | None, timeout: float) -> None:
        self._tls = tls
        self._timeout = timeout
        self._names: dict[Origin, Name] = {}

    def __repr__(self) -> str:
        return f"<Connector: {self._names}>"

    async def connect(self, origin: Origin) -> socket.socket:
        """A connected, non-blocking socket; for https an `ssl.SSLSocket` past its handshake.

        Raises:
            TransportError: `connect` or `tls`; no byte of a request was sent.
        """
        tls = context_for(origin, self._tls)
        with trio.move_on_after(self._timeout):
            try:
                sock = await self._open(origin)
                return await handshake(sock, tls, origin) if tls else sock
            except ssl.SSLError as exc:
                message, broken_off = tls_message(exc, origin), isinstance(exc, ssl.SSLEOFError)
                raise TransportError("tls", message, sent=False, transient=broken_off) from exc
            except (OSError, UnicodeError) as exc:  # the latter from a name that DNS cannot hold
                raise unconnected(f"cannot connect to {origin.authority}", exc) from exc
        message = f"no connection to {origin.authority} within {show_duration(self._timeout)}"
        raise TransportError("connect", message, sent=False, transient=True)

    async def _open(self, origin: Origin) -> socket.socket:
        """A socket on which an origin is reached, before any handshake.

        Raises:
            OSError: there is no connection.
        """
        return await _first_of(await self._name_of(origin).addresses())

    def _name_of(self, origin: Origin) -> Name:
        if origin not in self._names:
            self._names[origin] = Name(origin.host, origin.port)
        return self._names[origin]


def unconnected(what: str, exc: OSError | UnicodeError) -> TransportError:
    """What there is to say of a connection that the system or the resolver did not give us."""
    message = f"{what}: {reason_of(exc)}"
    return TransportError("connect", message, sent=False, transient=True, shortage=shortage_of(exc))


def context_for(origin: Origin, tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """What TLS with an origin is to be spoken with; None where it is not https.

    Raises:
        TransportError: `tls`; it is https, and there is nothing to speak it with.
    """
    if not origin.is_tls:
        return None
    if tls is None:
        message = f"no TLS settings were prepared for {origin.authority}"
        raise TransportError("tls", message, sent=False)
    return tls


def tls_message(exc: ssl.SSLError, origin: Origin) -> str:
    """What is wrong with a server's TLS, in one line."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate of {origin.authority} not accepted: {exc.verify_message}"
    return f"TLS handshake with {origin.authority} failed: {reason_of(exc)}"


def reason_of(exc: OSError | UnicodeError) -> str:
    """The words of the system, the resolver or OpenSSL, without their numbers."""
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or str(exc)).replace("_", " ").lower()
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno).lower()
    return getattr(exc, "strerror", None) or str(exc)


def in_turns(addresses: Sequence[Address]) -> list[Address]:
    """IPv6 and IPv4 in turns, beginning as the resolver does (RFC 8305, section 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    second = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for pair in zip_longest(first, second) for address in pair if address]


async def _first_of(addresses: Sequence[Address]) -> socket.socket:
    """The connection that is made first, as each address is tried a bit after the one before.

    That is Happy Eyeballs (RFC 8305): one that is dead or far away costs little.

    Raises:
        OSError: that which tells most, where all fail.
    """
    connected: list[socket.socket] = []
    errors: list[OSError] = []

    async def attempt(address: Address, failed: trio.Event) -> None:
        try:
            connected.append(await _open_tcp(address))
            nursery.cancel_scope.cancel()
        except OSError as exc:
            errors.append(exc)
            failed.set()

    try:
        async with trio.open_nursery() as nursery:
            for address in in_turns(addresses):
                failed = trio.Event()
                nursery.start_soon(attempt, address, failed)
                with trio.move_on_after(_HEAD_START):
                    await failed.wait()
        if not connected:
            raise worst_of(errors)
        return connected.pop(0)
    finally:
        for late in connected:
            late.close()


async def _open_tcp(address: Address) -> socket.socket:
    family, kind, protocol, _, place = address
    await trio.lowlevel.checkpoint_if_cancelled()
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        error = sock.connect_ex(place)
        if error == errno.EINPROGRESS:  # not so EAGAIN, on which trio's own would wait
            await wait_writable(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == errno.EADDRNOTAVAIL:
            raise no_address(family, place)
        if error:
            raise OSError(error, os.strerror(error))
        with suppress(OSError):  # refused where it is closed already, which will show soon enough
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


async def handshake(sock: socket.socket, tls: ssl.SSLContext, origin: Origin) -> socket.socket:
    """TLS on a connected socket, which is closed where that fails.

    Raises:
        OSError: `ssl.SSLError` included.
    """
    try:
        wrapped = _wrapped(sock, tls, tls_host(origin.host))
    except BaseException:
        sock.close()
        raise
    try:
        while True:
            try:
                wrapped.do_handshake()
                return wrapped
            except ssl.SSLWantReadError:
                await wait_readable(wrapped)
            except ssl.SSLWantWriteError:
                await wait_writable(wrapped)
    except BaseException:
        wrapped.close()
        raise


def _wrapped(sock: socket.socket, tls: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    if isinstance(sock, ssl.SSLSocket):
        # It has all of a socket that is used here.
        return cast(ssl.SSLSocket, NestedTls(sock, tls, host))
    return tls.wrap_socket(
        sock, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )

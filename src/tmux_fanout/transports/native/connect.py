"""Making connections: name look-up, TCP, TLS handshake.

The first two are what `trio.open_tcp_stream` does, but that does not allow for look-ups that cannot
block others (see `resolver`).  So the race between a name's addresses is run here as well.
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
from tmux_fanout.core.routes.connect_to import Destination
from tmux_fanout.core.units import show_duration
from tmux_fanout.transports.native.nested_tls import NestedTls
from tmux_fanout.transports.native.resolver import Address, Name
from tmux_fanout.transports.native.routes.unix import open_unix_socket
from tmux_fanout.transports.shortage import explain_no_address, shortage_of, worst_of

# What OpenSSL says, depending on its version, of an answer that is not TLS.
_NOT_TLS = ("wrong version number", "record layer failure", "packet length too long")
_HEAD_START = 0.25  # seconds before the next address is tried as well


class Connector:
    """Makes the connections of one transport.

    Args:
        tls: used where an origin is https.
        timeout: seconds that making a connection may take, from look-up to handshake.
        connect_to: where connections lead instead of host and port of the origin, or None.
    """

    def __init__(
        self, tls: ssl.SSLContext | None, timeout: float, connect_to: Destination | None = None
    ) -> None:
        self._tls = tls
        self._timeout = timeout
        self._connect_to = connect_to
        self._names: dict[Origin, Name] = {}

    def __repr__(self) -> str:
        return f"<Connector: {self._names}>"

    async def connect(self, origin: Origin) -> socket.socket:
        """Return a connected, non-blocking socket; for https, one that has TLS on it.

        Raises:
            TransportError: `connect` or `tls`; nothing of a request was sent.
        """
        tls = context_for(origin, self._tls)
        with trio.move_on_after(self._timeout):
            try:
                sock = await self._open(origin)
                return await handshake(sock, tls, origin) if tls else sock
            except ssl.SSLError as exc:
                message, broken_off = tls_message(exc, origin), isinstance(exc, ssl.SSLEOFError)
                raise TransportError("tls", message, sent=False, transient=broken_off) from exc
            except (OSError, UnicodeError) as exc:  # UnicodeError: DNS cannot hold the name
                raise unconnected(f"cannot connect to {self._server_of(origin)}", exc) from exc
        time = show_duration(self._timeout)
        message = f"no connection to {self._server_of(origin)} within {time}"
        raise TransportError("connect", message, sent=False, transient=True)

    async def _open(self, origin: Origin) -> socket.socket:
        """Return a socket that leads to an origin, before any handshake with it.

        Raises:
            OSError: the connection failed.
        """
        if origin.socket:
            return await open_unix_socket(origin.socket)
        return await self._reach(self._destination_of(origin))

    def _destination_of(self, origin: Origin) -> Origin:
        """Return the host and port to connect to for an origin."""
        return origin if self._connect_to is None else self._connect_to.of(origin)

    def _server_of(self, origin: Origin) -> str:
        """Return what messages call the server that is connected to for an origin."""
        if self._connect_to is None:
            return origin.server
        return f"{self._destination_of(origin).authority}, for {origin.authority}"

    async def _reach(self, destination: Origin) -> socket.socket:
        """Return a TCP connection to a host and port.

        Raises:
            OSError: the connection failed.
        """
        return await first_of(await self._addresses_of(destination))

    async def _addresses_of(self, origin: Origin) -> Sequence[Address]:
        """Return the addresses to connect to.

        Raises:
            OSError: the name does not resolve.
        """
        return await self._name_of(origin).addresses()

    def _name_of(self, origin: Origin) -> Name:
        if origin not in self._names:
            self._names[origin] = Name(origin.host, origin.port)
        return self._names[origin]


def unconnected(what: str, exc: OSError | UnicodeError) -> TransportError:
    """Return the error for a connection that the system or the resolver refused.

    Args:
        what: what failed, as the beginning of the message.
        exc: the reason.
    """
    message = f"{what}: {reason_of(exc)}"
    return TransportError("connect", message, sent=False, transient=True, shortage=shortage_of(exc))


def context_for(origin: Origin, tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Return the TLS context for an origin; None if the origin is not https.

    Raises:
        TransportError: `tls`; it is https, and there is no context.
    """
    if not origin.is_tls:
        return None
    if tls is None:
        message = f"no TLS settings were prepared for {origin.authority}"
        raise TransportError("tls", message, sent=False)
    return tls


def tls_message(exc: ssl.SSLError, origin: Origin) -> str:
    """Return what is wrong with a server's TLS, in one line."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate of {origin.authority} not accepted: {exc.verify_message}"
    reason = reason_of(exc)
    advice = "; if the server speaks no TLS there, use http://" if reason in _NOT_TLS else ""
    return f"TLS handshake with {origin.authority} failed: {reason}{advice}"


def reason_of(exc: OSError | UnicodeError) -> str:
    """Return what the system, the resolver or OpenSSL says, without its number."""
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or str(exc)).replace("_", " ").lower()
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno).lower()
    return getattr(exc, "strerror", None) or str(exc)


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Return IPv6 and IPv4 in alternation, beginning as the resolver does (RFC 8305, section 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    second = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for pair in zip_longest(first, second) for address in pair if address]


async def first_of(addresses: Sequence[Address]) -> socket.socket:
    """Return the first connection that succeeds, trying each address a little after the last.

    This is Happy Eyeballs (RFC 8305): an address that is dead or far away costs little time.

    Raises:
        OSError: all failed; the error that explains most.
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
            for address in interleaved(addresses):
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
    family, kind, protocol, _, socket_address = address
    await trio.lowlevel.checkpoint_if_cancelled()
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        error = sock.connect_ex(socket_address)
        if error == errno.EINPROGRESS:  # EAGAIN is a shortage of ports; trio's own would wait
            await wait_writable(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == errno.EADDRNOTAVAIL:
            raise explain_no_address(family, socket_address)
        if error:
            raise OSError(error, os.strerror(error))
        with suppress(OSError):  # it is closed already; using it will show that
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


async def handshake(sock: socket.socket, tls: ssl.SSLContext, origin: Origin) -> socket.socket:
    """Return a connected socket with TLS on it; close it if the handshake fails.

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
        # It has every method of a socket that this package calls.
        return cast(ssl.SSLSocket, NestedTls(sock, tls, host))
    return tls.wrap_socket(
        sock, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )

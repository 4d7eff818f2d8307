"""Making connections: name, address, handshake."""

from __future__ import annotations

import os
import socket
import ssl

import trio
from trio.lowlevel import wait_readable, wait_writable

from tmux_fanout.core.errors import Failure
from tmux_fanout.core.http import Origin
from tmux_fanout.core.units import show_duration


async def connect(origin: Origin, tls: ssl.SSLContext | None, timeout: float) -> socket.socket:
    """A connected, non-blocking socket; for https an `ssl.SSLSocket` past its handshake.

    Addresses are tried as in Happy Eyeballs (RFC 8305).

    Args:
        tls: used where the origin is https.
        timeout: seconds for all of it.

    Raises:
        Failure: `connect` or `tls`; no byte of a request was sent.
    """
    with trio.move_on_after(timeout):
        try:
            sock = await _open_tcp(origin)
            return await _handshake(sock, tls, origin) if tls and origin.is_tls else sock
        except ssl.SSLError as exc:
            transient = isinstance(exc, ssl.SSLEOFError)
            raise Failure("tls", tls_message(exc, origin), sent=False, transient=transient) from exc
        except (OSError, UnicodeError) as exc:  # the latter from a name that DNS cannot hold
            message = f"cannot connect to {origin.authority}: {_reason(exc)}"
            raise Failure("connect", message, sent=False, transient=True) from exc
    message = f"no connection to {origin.authority} within {show_duration(timeout)}"
    raise Failure("connect", message, sent=False, transient=True)


def tls_message(exc: ssl.SSLError, origin: Origin) -> str:
    """What is wrong with a server's TLS, in one line."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"certificate of {origin.authority} not accepted: {exc.verify_message}"
    reason = (exc.reason or str(exc)).replace("_", " ").lower()
    return f"TLS handshake with {origin.authority} failed: {reason}"


async def _open_tcp(origin: Origin) -> socket.socket:
    stream = await trio.open_tcp_stream(origin.host, origin.port)
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    return sock


async def _handshake(sock: socket.socket, tls: ssl.SSLContext, origin: Origin) -> socket.socket:
    try:
        wrapped = tls.wrap_socket(
            sock,
            server_hostname=origin.host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
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


def _reason(exc: OSError | UnicodeError) -> str:
    """The system's words, from below the groups that trying several addresses wraps them in."""
    cause: BaseException | None = exc.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if not isinstance(cause, OSError):
        cause = exc
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    return getattr(cause, "strerror", None) or str(cause)

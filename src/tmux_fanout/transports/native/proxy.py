"""Connections through HTTP proxies.

To an https origin a proxy opens a tunnel (CONNECT; RFC 9110, section 9.3.6), and the connection is
then like any other: TLS is spoken with the origin, and the proxy's credentials stay with the proxy.
Requests to an http origin are read by the proxy: they carry the whole URL and the credentials.

All of this is part of connecting and of its time limit, and is over before a request is sent.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from msgspec.structs import replace
from trio.lowlevel import checkpoint, wait_readable, wait_writable

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.hosts import wire_host
from tmux_fanout.core.http.messages import Origin, Request, RequestHead
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.http.proxies import Proxy
from tmux_fanout.core.routes.connect_to import Destination
from tmux_fanout.transports.native.connect import (
    Connector,
    context_for,
    handshake,
    tls_message,
    unconnected,
)
from tmux_fanout.transports.native.parser import MAX_HEAD

_WOULD_BLOCK_READING = (BlockingIOError, ssl.SSLWantReadError)
_WOULD_BLOCK_WRITING = (BlockingIOError, ssl.SSLWantWriteError)
_HTTP = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] +([1-9]\d\d)[ \r\n]")
# Some proxies end lines with a bare line feed; curl and Go accept it (RFC 9112, section 2.2).
_HEAD_ENDS = (b"\n\r\n", b"\n\n")
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class ProxyConnector(Connector):
    """Makes connections through proxies to some origins, and directly to all others.

    Args:
        tls: used where an origin is https.
        timeout: seconds that making a connection may take, from look-up to handshake.
        proxies: by the origin that is reached through them.
        proxy_tls: used where a proxy is https.
        connect_to: where connections lead instead of host and port of the origin, or None.  For
            http, too, a proxy then opens a tunnel, as it does for curl.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        timeout: float,
        proxies: Mapping[Origin, Proxy],
        proxy_tls: ssl.SSLContext | None,
        connect_to: Destination | None = None,
    ) -> None:
        super().__init__(tls, timeout, connect_to)
        self._proxies = proxies
        self._absolute = {
            origin: Prepared(partial(_absolute, authorization=proxy.authorization))
            for origin, proxy in proxies.items()
            if not origin.is_tls and connect_to is None
        }
        self._proxy_tls = proxy_tls

    def as_sent(self, request: Request) -> Request:
        """Return a request as it is sent on a connection of this connector."""
        absolute = self._absolute.get(request.head.origin)
        return Request(absolute[request.head], request.body) if absolute is not None else request

    async def _open(self, origin: Origin) -> socket.socket:
        proxy = self._proxies.get(origin)
        if proxy is None:
            return await super()._open(origin)
        tls = context_for(proxy.origin, self._proxy_tls)
        with _attributed_to(proxy):
            sock = await self._reach(proxy.origin)
            if tls:
                sock = await handshake(sock, tls, proxy.origin)
        if origin not in self._absolute:
            try:
                with _attributed_to(proxy):
                    await _open_tunnel(sock, proxy, self._destination_of(origin))
            except BaseException:
                sock.close()
                raise
        return sock


@contextmanager
def _attributed_to(proxy: Proxy) -> Iterator[None]:
    """Turn errors in the block into transport errors that name the proxy."""
    try:
        yield
    except ssl.SSLError as exc:
        broken_off = isinstance(exc, ssl.SSLEOFError)
        message = f"proxy: {tls_message(exc, proxy.origin)}"
        raise TransportError("tls", message, sent=False, transient=broken_off) from exc
    except (OSError, UnicodeError) as exc:
        raise unconnected(f"cannot connect to the proxy {proxy}", exc) from exc


async def _open_tunnel(sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Have the proxy open a tunnel to an origin.

    Raises:
        TransportError: `connect`; the proxy refuses, or does not speak HTTP.
    """
    target = f"{wire_host(origin.host)}:{origin.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await _send(sock, "\r\n".join([*lines, "", ""]).encode())
    status = _status(await _receive_head(sock))
    if status is None:
        message = f"the proxy {proxy} does not answer CONNECT with HTTP/1.1"
        raise TransportError("connect", message, sent=False)
    if status == 407:
        advice = f"user and password in {proxy.source}"
        message = f"the proxy {proxy} requires other credentials: HTTP 407; set {advice}"
        raise TransportError("connect", message, sent=False)
    if not 200 <= status < 300:
        message = f"the proxy {proxy} does not connect to {origin.authority}: HTTP {status}"
        raise TransportError("connect", message, sent=False, transient=status in _TRY_AGAIN)


async def _send(sock: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[sock.send(data) :]
        except _WOULD_BLOCK_WRITING:
            await wait_writable(sock)


async def _receive_head(sock: socket.socket) -> bytes:
    """Return the head of a response, and read not a byte more, as the origin may speak first.

    It is cut off where it turns out not to be HTTP, or is too large, interim responses included.

    Raises:
        ConnectionError: the proxy closed the connection.
    """
    head, size = b"", 0
    while not head.endswith(_HEAD_ENDS) and size < MAX_HEAD and _may_be_http(head):
        try:
            data = sock.recv(1)
        except _WOULD_BLOCK_READING:
            await wait_readable(sock)
            continue
        if not data:
            raise ConnectionError("it closed the connection")
        head += data
        size += 1
        if head.endswith(_HEAD_ENDS) and _is_interim(_status(head)):
            head = b""
            await checkpoint()
    return head


def _may_be_http(head: bytes) -> bool:
    """Return whether the bytes so far may be the beginning of a response."""
    return head[: len(_HTTP)] == _HTTP[: len(head)]


def _is_interim(status: int | None) -> bool:
    return status is not None and 100 <= status < 200 and status != 101


def _status(head: bytes) -> int | None:
    status_line = _STATUS_LINE.match(head) if head.endswith(_HEAD_ENDS) else None
    return int(status_line[1]) if status_line else None


def _absolute(head: RequestHead, authorization: str) -> RequestHead:
    headers = head.headers
    if authorization:
        headers = (*headers, ("Proxy-Authorization", authorization))
    return replace(head, target=f"{head.origin.site}{head.target}", headers=headers)

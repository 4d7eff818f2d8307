"""Requests and responses as values, which the engine and the transports exchange."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tmux_fanout.core.http.auth import SentAuth
from tmux_fanout.core.http.hosts import url_host, wire_host
from tmux_fanout.core.text import printable

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})

MISDIRECTED = 421
"""Status of a server that is not the one for a request; another connection may lead to that one."""

_UNSAFE_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")  # RFC 9110, section 5.5

Headers = tuple[tuple[str, str], ...]


def unsafe_in_header(value: str) -> bool:
    """Return whether a text contains a character that no header value may have."""
    return bool(_UNSAFE_IN_HEADER.search(value))


class Origin(NamedTuple):
    """The destination of connections: scheme, host and port (RFC 9110, section 4.3.1).

    Attributes:
        scheme: http or https.
        host: in the form for the resolver; see `core.http.hosts`.
        port: the port.
        socket: the Unix socket on which the host is reached, see `core.routes.sockets`; "" if it is
            reached over TCP.
    """

    scheme: str
    host: str
    port: int
    socket: str = ""

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The host, and the port if it is not the scheme's default, as in a Host header."""
        return self._with_port(wire_host(self.host))

    @property
    def url(self) -> str:
        """The beginning of a URL there, the zone of an address included."""
        return f"{self.scheme}://{self._with_port(url_host(self.host))}"

    @property
    def site(self) -> str:
        """`scheme://host[:port]` (RFC 6454, section 6.2), without the zone of an address."""
        return f"{self.scheme}://{self.authority}"

    @property
    def server(self) -> str:
        """What messages call the server that is connected to."""
        return f"the socket {printable(self.socket)}" if self.socket else self.authority

    def at(self, prefix: str) -> str:
        """Return the URL of a path there, and the socket that leads there, for messages."""
        where = f" at {self.server}" if self.socket else ""
        return f"{self.site}{prefix}{where}"

    def __str__(self) -> str:
        return self.at("")

    def _with_port(self, host: str) -> str:
        return host if self.port == default_port(self.scheme) else f"{host}:{self.port}"


def default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests of an API may go: a base URL, and what they carry there.

    Attributes:
        name: what messages call it: its origin, and its number where others share that.
        origin: scheme, host and port.
        prefix: the path before all targets there, or "".
        headers: all headers there that do not depend on the record, credentials included.
        auth: credentials that are added to requests as they are sent there, or None.
        limit: maximum attempts in flight there; None: that of the API.
        rate: maximum attempts per second there; None: that of the API.
        tokens: maximum units per second there; None: that of the API.
        burst: how much of both may come at once, in seconds; None: the default.
        weight: its share of the attempts, relative to the others.
        credentials: the setting that has them, for messages; "" if there are none.
    """

    name: str
    origin: Origin
    prefix: str
    headers: Headers
    auth: SentAuth | None = None
    limit: int | None = None
    rate: float | None = None
    tokens: float | None = None
    burst: float | None = None
    weight: float = 1.0
    credentials: str = ""

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"

    @property
    def is_bounded(self) -> bool:
        """Whether it has bounds of its own within those of the API."""
        return any(bound is not None for bound in (self.limit, self.rate, self.tokens))


class RequestHead(msgspec.Struct, frozen=True, eq=False):
    """A request without its body; built once if it does not depend on the record.

    Attributes:
        method: as in the request line.
        origin: where it goes.
        target: path and query, percent-encoded, as in the request line.
        headers: in sending order, without Content-Length, which the transport adds, and without
            those that `auth` adds.
        is_shared: whether many requests have this very head, so that what is derived from it is
            worth keeping; a head with data of a record in it is not shared, and may be large.
        auth: credentials that are added as it is sent, or None.
    """

    method: str
    origin: Origin
    target: str
    headers: Headers
    is_shared: bool = False
    auth: SentAuth | None = None

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        return f"<RequestHead: {self.method} {self.origin}, {names}>"

    @property
    def url(self) -> str:
        return self.origin.url + self.target

    def moved(self, old: Endpoint, new: Endpoint) -> RequestHead:
        """Return this head for another endpoint, with nothing left of the old one's headers.

        Args:
            old: the endpoint that this head is for.
            new: the one to return it for.
        """
        of_record = self.headers[len(old.headers) :]
        target = new.prefix + self.target.removeprefix(old.prefix) or "/"
        headers = new.headers + of_record
        return RequestHead(self.method, new.origin, target, headers, self.is_shared, new.auth)


class Request(msgspec.Struct, frozen=True, gc=False):
    """A prepared request; `body` is None if the method does not have one."""

    head: RequestHead
    body: bytes | None

    def __repr__(self) -> str:
        return f"<Request: {self.head!r}, {len(self.body or b'')} bytes>"


class Response(msgspec.Struct, frozen=True, gc=False):
    """A complete response.

    Attributes:
        status: the status code.
        headers: names in lower case.
        body: with its content codings undone.
        wire_size: bytes received for it, including the head if the transport knows its size.
        is_plain: whether it is known that no content coding has to be undone, and that no
            well-known header says that a quota is used up, or that the API is deprecated.
        note: a remark on it, for messages, or "".
        answered: whether an earlier request of the same attempt was processed, and a redirect led
            from there to this response.
        never_ok: whether it is not ok, whatever its status: its body could not be decoded and is
            missing, or the rules of its API reject it.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    wire_size: int
    is_plain: bool = False
    note: str = ""
    answered: bool = False
    never_ok: bool = False

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, or None.

        Args:
            name: in lower case.
        """
        return next((value for key, value in self.headers if key == name), None)

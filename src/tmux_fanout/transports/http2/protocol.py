"""How `h2` is configured here, and heads of requests and responses in HTTP/2's form.

When h2 finds something wrong with one response, it ends the connection, and all requests on it; its
messages may quote a header.  So h2 is configured not to check heads, and does not see what length a
body should have; `parse_head` checks, and only that one response fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.settings
import hpack

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request

_STREAM_WINDOW = 1 << 20
_CONNECTION_WINDOW = 1 << 24
_MAX_HEAD = 64 << 10
MAX_DECODED_HEAD = 256 << 10
"""Limit on the decoded bytes of a head, beyond which the connection ends."""

_FIELD_OVERHEAD = 32  # bytes counted for each field (RFC 9113, section 6.5.2)
_MAX_TABLE = 4096  # bytes, the initial size in HPACK (RFC 7541, section 4.2)
_Settings = h2.settings.SettingCodes

_LENGTH = b"content-length"
_HIDDEN_LENGTH = b"content length"  # no header has this name
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_CONNECTION_FIELDS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_UNSENDABLE = {"host", *map(bytes.decode, _CONNECTION_FIELDS)}


class ResponseHead(NamedTuple):
    """The head of a response; `length` is its Content-Length, or None."""

    status: int
    headers: list[tuple[bytes, bytes]]
    length: int | None


class _Decoder(hpack.Decoder):
    """Hides Content-Length from h2."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[Any]:
        fields = super().decode(data, raw)
        return [(_HIDDEN_LENGTH, field[1]) if field[0] == _LENGTH else field for field in fields]


class _Encoder(hpack.Encoder):
    """Indexes few headers, however many the server allows: a record's are not sent again.

    It does not apply Huffman coding, for which hpack takes quadratic time: 15 s for a URL of
    300 KB, during which nothing else runs, not even a time limit.
    """

    def encode(self, headers: Iterable[Any], huffman: bool = False) -> bytes:
        return super().encode(headers, huffman)

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self.header_table.maxsize = min(value, _MAX_TABLE)
        if self.header_table.resized:
            self.table_size_changes.append(self.header_table.maxsize)


def client_connection() -> h2.connection.H2Connection:
    """Return a connection with the client's preface in its buffer."""
    config = h2.config.H2Configuration(header_encoding=None, validate_inbound_headers=False)
    connection = h2.connection.H2Connection(config)
    settings = {
        _Settings.ENABLE_PUSH: 0,
        _Settings.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
        _Settings.MAX_HEADER_LIST_SIZE: _MAX_HEAD,
    }
    connection.local_settings = h2.settings.Settings(client=True, initial_values=settings)
    # Some servers refuse settings that they do not know, against RFC 9113, section 6.5.2.
    del connection.local_settings[_Settings.ENABLE_CONNECT_PROTOCOL]
    connection.encoder = _Encoder()
    connection.decoder = _Decoder()
    connection.decoder.max_header_list_size = MAX_DECODED_HEAD
    connection.initiate_connection()
    connection.increment_flow_control_window(_CONNECTION_WINDOW)
    return connection


def header_list(request: Request) -> list[tuple[bytes, bytes]]:
    """Return a request's head with the pseudo-headers of RFC 9113, section 8.3.1."""
    head = request.head
    authority = next((v for n, v in head.headers if n.lower() == "host"), head.origin.authority)
    fields = [
        (":method", head.method),
        (":authority", authority),
        (":scheme", head.origin.scheme),
        (":path", head.target),
    ]
    fields += [(n.lower(), v.strip(" \t")) for n, v in head.headers if n.lower() not in _UNSENDABLE]
    if request.body is not None:
        fields.append(("content-length", str(request.size)))
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]


def parse_head(fields: Iterable[Any]) -> ResponseHead:
    """Return the head of a response, interim or not (RFC 9113, section 8.3.2).

    Raises:
        TransportError: `protocol` or `too_large`; the message quotes no part of the head.
    """
    (name, status), *rest = [*fields] or [(b"", b"")]
    if name != b":status" or len(status) != 3 or not status.isdigit() or status < b"100":
        raise TransportError("protocol", "not valid HTTP/2: the status of the response", sent=True)
    headers = [
        # RFC 9113, section 8.2.1, forbids blanks around a value, but some servers send them.
        (_LENGTH if name == _HIDDEN_LENGTH else bytes(name), bytes(value).strip(b" \t"))
        for name, value in rest
    ]
    check_fields(headers)
    lengths = {value for name, value in headers if name == _LENGTH}
    if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        raise TransportError("protocol", "not valid HTTP/2: the length of the response", sent=True)
    length = int(lengths.pop()[:20]) if lengths else None
    return ResponseHead(int(status), headers, length)


def check_fields(fields: Iterable[Any]) -> None:
    """Check headers or trailers (RFC 9113, sections 8.2.1 and 8.2.2), and their size.

    Raises:
        TransportError: `protocol` or `too_large`; the message quotes no part of them.
    """
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + _FIELD_OVERHEAD
        is_sound = _NAME.fullmatch(name) and _VALUE.fullmatch(value)
        if not is_sound or name in _CONNECTION_FIELDS:
            raise TransportError(
                "protocol", "not valid HTTP/2: a header of the response", sent=True
            )
    if size > _MAX_HEAD:
        message = f"the head of a response is larger than {_MAX_HEAD} bytes"
        raise TransportError("too_large", message, sent=True)

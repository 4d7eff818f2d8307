"""`h2` as it is used here, and the head of a response.

What h2 finds wrong with one response it takes for the end of the connection, and of all requests
on it; its words may quote a header.  So it is told not to look at heads, and is not shown what
length a body is to have; `parse_head` looks, and only that one response fails.
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

_STREAM_WINDOW = 1 << 20
_CONNECTION_WINDOW = 1 << 24
_MAX_HEAD = 64 << 10
MAX_DECODED_HEAD = 256 << 10
"""Most bytes of a head that are decoded; past that, the connection ends."""

_FIELD_OVERHEAD = 32  # bytes that count for each field (RFC 9113, section 6.5.2)
_MAX_TABLE = 4096  # bytes, as HPACK begins with (RFC 7541, section 4.2)
_Settings = h2.settings.SettingCodes

_LENGTH = b"content-length"
_HIDDEN_LENGTH = b"content length"  # which no header is called
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")
_OF_CONNECTIONS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)


class Head(NamedTuple):
    """The head of a response; `length` is what it says of the body's, or None."""

    status: int
    headers: list[tuple[bytes, bytes]]
    length: int | None


class _Decoder(hpack.Decoder):
    """Hides from h2 how long a body is to be."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[Any]:
        fields = super().decode(data, raw)
        return [(_HIDDEN_LENGTH, field[1]) if field[0] == _LENGTH else field for field in fields]


class _Encoder(hpack.Encoder):
    """Remembers few headers, however many the server would: a record's are not sent again.

    It leaves values as they are, since hpack takes quadratic time for Huffman's code: 15 s for a
    URL of 300 KB, in which nothing else can be done, not even run out of time.
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
    """A connection that has begun, with the bytes of that in its buffer."""
    config = h2.config.H2Configuration(header_encoding=None, validate_inbound_headers=False)
    connection = h2.connection.H2Connection(config)
    settings = {
        _Settings.ENABLE_PUSH: 0,
        _Settings.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
        _Settings.MAX_HEADER_LIST_SIZE: _MAX_HEAD,
    }
    connection.local_settings = h2.settings.Settings(client=True, initial_values=settings)
    # Some servers refuse what was defined after them, against RFC 9113, section 6.5.2.
    del connection.local_settings[_Settings.ENABLE_CONNECT_PROTOCOL]
    connection.encoder = _Encoder()
    connection.decoder = _Decoder()
    connection.decoder.max_header_list_size = MAX_DECODED_HEAD
    connection.initiate_connection()
    connection.increment_flow_control_window(_CONNECTION_WINDOW)
    return connection


def parse_head(fields: Iterable[Any]) -> Head:
    """The head of a response, interim or not (RFC 9113, section 8.3.2).

    Raises:
        TransportError: `protocol` or `too_large`; no part of the head is shown.
    """
    (name, status), *rest = [*fields] or [(b"", b"")]
    if name != b":status" or len(status) != 3 or not status.isdigit() or status < b"100":
        raise TransportError("protocol", "not valid HTTP/2: the status of the response", sent=True)
    headers = [
        # RFC 9113, section 8.2.1, forbids blanks around a value, but servers send them.
        (_LENGTH if name == _HIDDEN_LENGTH else bytes(name), bytes(value).strip(b" \t"))
        for name, value in rest
    ]
    check_fields(headers)
    lengths = {value for name, value in headers if name == _LENGTH}
    if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        raise TransportError("protocol", "not valid HTTP/2: the length of the response", sent=True)
    length = int(lengths.pop()[:20]) if lengths else None
    return Head(int(status), headers, length)


def check_fields(fields: Iterable[Any]) -> None:
    """Check headers or trailers (RFC 9113, sections 8.2.1 and 8.2.2), and how large they are.

    Raises:
        TransportError: `protocol` or `too_large`; no part of them is shown.
    """
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + _FIELD_OVERHEAD
        is_sound = _NAME.fullmatch(name) and _VALUE.fullmatch(value)
        if not is_sound or name in _OF_CONNECTIONS:
            raise TransportError(
                "protocol", "not valid HTTP/2: a header of the response", sent=True
            )
    if size > _MAX_HEAD:
        message = f"the head of a response is larger than {_MAX_HEAD} bytes"
        raise TransportError("too_large", message, sent=True)

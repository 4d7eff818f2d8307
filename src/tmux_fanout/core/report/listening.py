"""Where metrics are served: at a port, or at a Unix socket."""

from __future__ import annotations

from typing import NamedTuple

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid
from tmux_fanout.core.units import parse_whole

_FORMS = "ADDR:PORT such as 127.0.0.1:9464, or unix:PATH"
_UNIX = "unix:"


class Listening(NamedTuple):
    """An address to listen at.

    Attributes:
        host: to listen on, without brackets; empty for a Unix socket.
        port: 0 for any free one.
        path: of the Unix socket; empty for a port.
    """

    host: str
    port: int
    path: str = ""


def parse_listening(text: object) -> Listening:
    """Return the address in a text such as `127.0.0.1:9464`, `[::1]:9464` or `unix:/run/x.sock`.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(text, str) and text.startswith(_UNIX) and "\0" not in text and text != _UNIX:
        return Listening("", 0, text.removeprefix(_UNIX))
    if isinstance(text, str):
        host, colon, number = text.rpartition(":")
        port = parse_whole(number)
        is_bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if is_bracketed else host
        is_host = (
            bool(host) and not set(host) & set("/[]@ \0") and (":" not in host or is_bracketed)
        )
        if colon and is_host and port is not None and port <= 65535:
            return Listening(host, port)
    raise ConfigError(invalid("address of metrics", text, _FORMS))

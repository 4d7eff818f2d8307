"""Names and addresses that are dead or silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest.mock import patch

from support.command import PATIENCE

Names = Callable[[dict[str, "list[str] | OSError"]], None]


@contextmanager
def scripted_names() -> Iterator[Names]:
    """Yield `names(table)`, which sets the addresses, in order, or the error for each name.

    For any other name the resolver is silent until the end of the block.
    """
    numeric = socket.getaddrinfo
    table: dict[str, list[str] | OSError] = {}
    end = threading.Event()

    def look_up(
        host: str | bytes, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        with suppress(socket.gaierror):
            return numeric(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not an address")
        name = host.decode() if isinstance(host, bytes) else host
        if name not in table:
            end.wait(PATIENCE)
            raise socket.gaierror(socket.EAI_AGAIN, "the test is over")
        found = table[name]
        if isinstance(found, OSError):
            raise found
        return [numeric(address, port, family, type)[0] for address in found]

    try:
        with patch.object(socket, "getaddrinfo", look_up):
            yield table.update
    finally:
        end.set()


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 that nobody else gets, and nobody listens on unless the test does.

    Whoever listens there must set SO_REUSEADDR, as trio and nginx do.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def full_backlog(host: str, port: int = 0) -> Iterator[int]:
    """Yield a port where connections hang: its queue is full, and nothing accepts."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]

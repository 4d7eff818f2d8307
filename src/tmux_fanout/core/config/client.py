"""A client that a program brings along, known by its names alone."""

from __future__ import annotations

_PACKAGES = ("httpx", "httpx2")


def client_package(client: object) -> str | None:
    """`httpx` or `httpx2`, whichever an asynchronous client is from; None if it is none."""
    for kind in type(client).__mro__:
        package = kind.__module__.partition(".")[0]
        if kind.__name__ == "AsyncClient" and package in _PACKAGES:
            return package
    return None

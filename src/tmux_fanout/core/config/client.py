"""HTTP clients of the user's own, recognised by name, so that no HTTP library is imported."""

from __future__ import annotations

_PACKAGES = ("httpx", "httpx2")


def client_package(client: object) -> str | None:
    """Return `httpx` or `httpx2`, the package of an asynchronous client; None for all else."""
    for kind in type(client).__mro__:
        package = kind.__module__.partition(".")[0]
        if kind.__name__ == "AsyncClient" and package in _PACKAGES:
            return package
    return None

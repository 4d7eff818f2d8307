"""TLS settings."""

from __future__ import annotations

import msgspec


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The certificates to trust, and the client's own.

    Attributes:
        ca: path of a file or directory with the certificates to trust; None for the system's.
        cert: path of the client's certificate, followed by its chain.
        key: path of the private key, if it is not in `cert`.
        verify: whether the server's certificate is checked.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

"""How https is verified."""

from __future__ import annotations

import msgspec


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How https is verified, and who we are.

    Attributes:
        ca: path of a file, or a directory, of the certificates to trust; None: the system's.
        cert: path of our own certificate, its chain after it.
        key: path of the private key, where it is not in `cert`.
        verify: whether the server's certificate is looked at.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

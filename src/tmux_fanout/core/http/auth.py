"""Credentials for the Authorization header."""

from __future__ import annotations

import msgspec


class Bearer(msgspec.Struct, frozen=True):
    """A bearer token (RFC 6750)."""

    token: str

    def __repr__(self) -> str:
        return "<Bearer>"


class Basic(msgspec.Struct, frozen=True):
    """A user name and a password (RFC 7617)."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "<Basic>"


class OAuth2(msgspec.Struct, frozen=True, kw_only=True):
    """Client credentials (RFC 6749, section 4.4), used to fetch and renew a token.

    Attributes:
        token_url: URL of the token endpoint.
        client_id: the name of the client.
        client_secret: its password.
        scope: the scope to request; None for the endpoint's default.
    """

    token_url: str
    client_id: str
    client_secret: str
    scope: str | None = None

    def __repr__(self) -> str:
        return "<OAuth2>"


Auth = Bearer | Basic | OAuth2

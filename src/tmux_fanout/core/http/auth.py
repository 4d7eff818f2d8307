"""Credentials for the Authorization header."""

from __future__ import annotations

import msgspec


class Bearer(msgspec.Struct, frozen=True):
    """A token as it is (RFC 6750)."""

    token: str

    def __repr__(self) -> str:
        return "<Bearer>"


class Basic(msgspec.Struct, frozen=True):
    """A user and a password (RFC 7617)."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "<Basic>"


class OAuth2(msgspec.Struct, frozen=True, kw_only=True):
    """Client credentials (RFC 6749, section 4.4): a token is fetched, shared and renewed."""

    token_url: str
    client_id: str
    client_secret: str
    scope: str | None = None

    def __repr__(self) -> str:
        return "<OAuth2>"


Auth = Bearer | Basic | OAuth2

"""Credentials of an API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

Params = tuple[tuple[str, str], ...]
AuthMethod = Literal["basic", "post"]


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
        params: further parameters of the request for a token, such as `audience`; a value may be a
            list.
        auth_method: how id and secret are sent: as HTTP Basic, or in the body with `post`.
    """

    token_url: str
    client_id: str
    client_secret: str
    scope: str | None = None
    params: Mapping[str, str | Sequence[str]] | Params = ()
    auth_method: AuthMethod = "basic"

    def __repr__(self) -> str:
        return "<OAuth2>"


class Digest(msgspec.Struct, frozen=True):
    """A user name and a password that never leave this machine (RFC 7616)."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "<Digest>"


class Signer(msgspec.Struct, frozen=True, eq=False):
    """A function of the user's that returns headers for each request, such as a signature.

    Attributes:
        function: the function, or where it is: `package.module:function`, or the name of an entry
            point.
        arguments: what it is called with beside the request, by keyword.
    """

    function: str | Callable[..., Any]
    arguments: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Signer {self.name}>"

    @property
    def name(self) -> str:
        """The function, for messages."""
        if isinstance(self.function, str):
            return self.function
        return str(getattr(self.function, "__qualname__", type(self.function).__qualname__))


Auth = Bearer | Basic | OAuth2 | Digest | Signer

SentAuth = OAuth2 | Digest | Signer
"""Credentials that are added to each request as it is sent."""

FORMS: Mapping[type, str] = {
    Bearer: "bearer",
    Basic: "basic",
    OAuth2: "oauth2",
    Digest: "digest",
    Signer: "call",
}
"""The keys that credentials have under `auth`."""

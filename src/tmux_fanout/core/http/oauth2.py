"""OAuth 2.0 client credentials (RFC 6749, section 4.4): the token request and its response.

Messages quote nothing of a token endpoint's response but the error codes of section 5.2: the rest
is free text, in which some endpoints repeat the credentials.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.urls import parse_url
from tmux_fanout.core.version import __version__

MARGIN = 60.0  # seconds before a token expires when it is due for replacement, or
MARGIN_OF_LIFE = 0.1  # this fraction of its lifetime, if that is less
MIN_PAUSE = 1.0  # seconds between a failed replacement and the next attempt
TIMEOUT = 10.0  # seconds that fetching a token may take
REFUSED_FOR = 10.0  # seconds before a refused request for a token is repeated
MAX_PAUSE = 60.0  # limit on the seconds of a Retry-After

_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749, appendix A.12, without the blank
_CODES = {  # RFC 6749, section 5.2
    "invalid_request": "it does not accept client_credentials by HTTP Basic, or requires a scope",
    "invalid_client": "check client_id and client_secret",
    "invalid_grant": "check client_id and client_secret",
    "unauthorized_client": "this client may not use the grant client_credentials",
    "unsupported_grant_type": "it does not offer the grant client_credentials",
    "invalid_scope": "check scope",
}
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Token(msgspec.Struct, frozen=True, eq=False):
    """An access token.

    Attributes:
        authorization: the value of the Authorization header.
        due: when to replace it, on the clock of the caller; infinity if that is unknown.
        expires: when it becomes invalid, on the same clock.
    """

    authorization: str
    due: float = math.inf
    expires: float = math.inf

    def __repr__(self) -> str:
        return f"<Token due at {self.due:.1f}>"

    def postponed(self, now: float) -> Token:
        """Return this token with a later time for its replacement, which has just failed.

        Args:
            now: on the clock of the caller.
        """
        pause = max(MIN_PAUSE, (self.expires - now) / 2)
        return Token(self.authorization, min(self.expires, now + pause), self.expires)


def token_request(settings: OAuth2) -> Request:
    """Return the request for a token, with HTTP Basic authentication (sections 2.3.1 and 4.4.2).

    Raises:
        ConfigError: a setting cannot be used; the message does not quote it.
    """
    origin, target = _endpoint(settings.token_url)
    form = {"grant_type": "client_credentials"}
    if settings.scope:
        form["scope"] = settings.scope
    # Encoded as in a form, so that a colon in the id does not act as the separator.
    pair = f"{_encoded('client_id', settings)}:{_encoded('client_secret', settings)}"
    headers = (
        ("Host", origin.authority),
        ("User-Agent", f"tmux-fanout/{__version__}"),
        ("Accept", "application/json"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"),
        ("Connection", "close"),  # the next request is a long time off
    )
    try:
        body = urlencode(form).encode()
    except UnicodeEncodeError:
        raise ConfigError("it is not valid UTF-8", key="scope") from None
    return Request(RequestHead("POST", origin, target, headers), body)


def _endpoint(url: str) -> tuple[Origin, str]:
    # `parse_url` accepts templates, which this is not.
    literal = url.replace("{", "%7B").replace("}", "%7D")
    try:
        origin, target, userinfo = parse_url(literal)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="token_url") from None
    if userinfo:
        why = "remove user and password; client_id and client_secret are sent instead"
        raise ConfigError(why, key="token_url")
    return origin, target


def _encoded(key: str, settings: OAuth2) -> str:
    text: str = getattr(settings, key)
    if not text:
        raise ConfigError("it is empty; use the one registered with the token endpoint", key=key)
    try:
        return quote_plus(text)
    except UnicodeEncodeError:
        raise ConfigError("it is not valid UTF-8", key=key) from None


def read_token(response: Response, now: float) -> Token:
    """Return the token in a response (sections 5.1 and 5.2).

    Args:
        response: of the token endpoint.
        now: when the token was requested, on the clock of `Token`.

    Raises:
        TransportError: `status` or `protocol`; the response holds no usable token.
    """
    fields = _fields(response.body)
    if response.status != 200:
        message = f"token endpoint: HTTP {response.status}"
        code = fields.get("error")
        if isinstance(code, str) and code in _CODES:
            message += f" {code}; {_CODES[code]}"
        transient = response.status in _TRANSIENT
        raise TransportError("status", message, sent=False, transient=transient)
    token, kind = fields.get("access_token"), fields.get("token_type")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise _unusable("its response holds no access_token; check token_url")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _unusable("the token_type in its response is not Bearer; no other can be used")
    life = _seconds(fields.get("expires_in"))
    margin = min(MARGIN, MARGIN_OF_LIFE * life)
    due = now + life - margin if life < math.inf else math.inf
    return Token(f"Bearer {token}", due, now + life)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return {}


def _unusable(why: str) -> TransportError:
    return TransportError("protocol", f"token endpoint: {why}", sent=False)


def _seconds(value: object) -> float:
    """Return the value of `expires_in`, which some endpoints send as text; infinity if unusable.

    0 counts as unusable.
    """
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) else 0.0
    except (ValueError, OverflowError):
        return math.inf
    return seconds if seconds >= 1 and not isinstance(value, bool) else math.inf

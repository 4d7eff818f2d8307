"""OAuth 2.0 client credentials (RFC 6749, section 4.4): the token request and its response.

Messages quote the error code and its description of a token endpoint's response (section 5.2).
Both are free text, in which some endpoints repeat the credentials, whole or in part; these are
hidden.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import msgspec

from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.http.auth import OAuth2, Params
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.urls import parse_url
from tmux_fanout.core.redaction import hide_in, is_secret_name, is_secret_param
from tmux_fanout.core.text import printable
from tmux_fanout.core.version import __version__

MARGIN = 60.0  # seconds before a token expires when it is due for replacement, or
MARGIN_OF_LIFE = 0.1  # this fraction of its lifetime, if that is less
MIN_PAUSE = 1.0  # seconds between a failed replacement and the next attempt
TIMEOUT = 10.0  # seconds that fetching a token may take
REFUSED_FOR = 10.0  # seconds before a refused request for a token is repeated
MAX_PAUSE = 60.0  # limit on the seconds of a Retry-After

_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749, appendix A.12, without the blank
_CODES = {  # RFC 6749, section 5.2
    "invalid_request": "it may require scope or params, or another auth_method",
    "invalid_client": "check client_id, client_secret and auth_method",
    "invalid_grant": "check client_id and client_secret",
    "unauthorized_client": "this client may not use the grant client_credentials",
    "unsupported_grant_type": "it does not offer the grant client_credentials",
    "invalid_scope": "check scope",
    "invalid_target": "check params",  # RFC 8707, section 2
}
_OWN_PARAMS = {
    "grant_type": "tmux-fanout sets it: leave it out",
    "client_id": "use the key client_id of oauth2",
    "client_secret": "use the key client_secret of oauth2",
    "scope": "use the key scope of oauth2",
}
_PARAMS = 'use one such as { audience = "https://api.example.com" }'
_MAX_CODE, _MAX_DESCRIPTION = 60, 300  # characters of a message
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
    """Return the request for a token (sections 2.3.1 and 4.4.2).

    Raises:
        ConfigError: a setting cannot be used; the message does not quote it.
    """
    origin, target = _endpoint(settings.token_url)
    form = [("grant_type", "client_credentials")]
    if settings.scope:
        form.append(("scope", settings.scope))
    form += parse_params(settings.params)
    pair = f"{_encoded('client_id', settings)}:{_encoded('client_secret', settings)}"
    if settings.auth_method == "post":
        form += [("client_id", settings.client_id), ("client_secret", settings.client_secret)]
    headers = [
        ("Host", origin.authority),
        ("User-Agent", f"tmux-fanout/{__version__}"),
        ("Accept", "application/json"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Connection", "close"),  # the next request is a long time off
    ]
    if settings.auth_method == "basic":
        headers.append(("Authorization", f"Basic {_base64(pair)}"))
    body = "&".join(_field(name, value) for name, value in form).encode()
    return Request(RequestHead("POST", origin, target, tuple(headers)), body)


def parse_params(value: object) -> Params:
    """Return the parameters under `params`, one pair for each text.

    Raises:
        ConfigError: they are no table of texts and lists of texts, or one has a key of its own.
    """
    if isinstance(value, tuple):  # parsed already
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"not a table: {_PARAMS}")
    pairs = []
    for name, given in value.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a parameter without a name: {_PARAMS}")
        if name in _OWN_PARAMS:
            raise ConfigError(_OWN_PARAMS[name], key=name)
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            why = "invalid value: use text in quotes, or a list of texts"
            raise ConfigError(why, key=printable(name, 60))
        pairs += [(name, text) for text in texts]
    return tuple(pairs)


def show_params(params: Params) -> dict[str, str | list[str]]:
    """Return parameters as the table that they were written as."""
    names = dict.fromkeys(name for name, _ in params)
    lists = {name: [text for other, text in params if other == name] for name in names}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in lists.items()}


def secrets_in(settings: OAuth2) -> tuple[str, ...]:
    """Return what a token endpoint has been sent and no message may show, in every spelling."""
    query = parse_qsl(settings.token_url.partition("?")[2])
    texts = [settings.client_secret]
    texts += [text for name, text in query if is_secret_name(name)]
    texts += [text for name, text in parse_params(settings.params) if is_secret_param(name)]
    pairs = [f"{settings.client_id}:{settings.client_secret}"]
    pairs.append(":".join(map(quote_plus, [settings.client_id, settings.client_secret])))
    spelled = [spell(text) for text in texts for spell in (str, quote_plus, quote, _base64)]
    return tuple(dict.fromkeys([*spelled, *map(_base64, pairs)]))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _field(name: str, value: str) -> str:
    try:
        return urlencode([(name, value)])
    except UnicodeEncodeError:
        key = name if name in _OWN_PARAMS else f"params.{name}"
        raise ConfigError("it is not valid UTF-8", key=printable(key)) from None


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
        # As in a form, so that a colon in the id does not act as the separator.
        return quote_plus(text)
    except UnicodeEncodeError:
        raise ConfigError("it is not valid UTF-8", key=key) from None


def read_token(response: Response, now: float, secrets: Sequence[str]) -> Token:
    """Return the token in a response (sections 5.1 and 5.2).

    Args:
        response: of the token endpoint.
        now: when the token was requested, on the clock of `Token`.
        secrets: what no message may show.

    Raises:
        TransportError: `status` or `protocol`; the response holds no usable token.
    """
    fields = _fields(response.body)
    if response.status != 200:
        message = f"token endpoint: HTTP {response.status}{_reason(fields, secrets, ' ')}"
        if advice := _CODES.get(str(fields.get("error"))):
            message += f"; {advice}"
        transient = response.status in _TRANSIENT
        raise TransportError("status", message, sent=False, transient=transient)
    token, kind = fields.get("access_token"), fields.get("token_type")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        why = _reason(fields, secrets, ": ")
        raise _unusable(f"its response holds no access_token{why}; check token_url")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _unusable("the token_type in its response is not Bearer; no other can be used")
    life = _seconds(fields.get("expires_in"))
    margin = min(MARGIN, MARGIN_OF_LIFE * life)
    due = now + life - margin if life < math.inf else math.inf
    return Token(f"Bearer {token}", due, now + life)


def _reason(fields: Mapping[str, Any], secrets: Sequence[str], separator: str) -> str:
    """Return the error code and its description after a separator; "" if there are none."""
    texts = [fields.get("error"), fields.get("error_description")]
    code, description = (
        printable(hide_in(text[: 4 * limit], secrets), limit) if isinstance(text, str) else ""
        for text, limit in zip(texts, (_MAX_CODE, _MAX_DESCRIPTION))
    )
    words = [code, f"({description})" if code and description else description]
    return separator + " ".join(filter(None, words)) if any(words) else ""


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

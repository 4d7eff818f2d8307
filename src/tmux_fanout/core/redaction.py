"""Settings as they may be shown: secrets as `***`, recognised by the names of their keys.

What cannot be secret stays: `${VAR}`, `${file:...}` and `${cmd:...}`, which are shown and never
expanded, a `{field}` of the record, and the scheme of credentials (`Bearer`).  In doubt a value is
hidden: a name that merely contains `key` is secret, and so is all of userinfo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"

_ANYWHERE = re.compile(
    "auth|bearer|cookie|credential|hmac|jwt|key|passcode|passphrase|passw|pwd|secret|session"
    "|signature|token"
)
_WHOLE_WORDS = frozenset({"otp", "pass", "pin", "sid", "sig"})
_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")

_CREDENTIALS = re.compile(r"\s*(?:Basic|Bearer|Digest|DPoP|Token)\s+", re.IGNORECASE)
_NO_SECRET = re.compile(
    r"(\$\{(?:[A-Za-z_][A-Za-z0-9_]*|(?:file|cmd):[^}]*)\}|(?<!\$)\{[+./;?&]?\w[\w.,:*?-]*\})"
)

_VARIABLE = r"\$\{[^}]*\}"
_DOLLAR = r"\$(?!\{[^}]*\})"
_AUTHORITY = re.compile(
    rf"(?P<scheme>(?:(?:{_VARIABLE}|{_DOLLAR}|[^/?#@$])*?:)?//)?"
    rf"(?:(?P<userinfo>(?:{_VARIABLE}|{_DOLLAR}|[^/?#$])*)@)?"
)
_COLON = re.compile(r":(?![^{]*\})")
_PARAMETER = re.compile(r"[?&;](?P<name>[^?&;/={}]*)=(?P<value>(?:\{[^}]*\}|[^&])*)")

# In the text of a response: members of JSON, credentials, and parameters.
_MEMBER = re.compile(
    r'"(?P<name>[^"\\]+)"\s*:\s*"(?P<value>(?:[^"\\]|\\.)*)'
    r'|\\"(?P<inner>[^"\\]+)\\"\s*:\s*\\"(?P<text>[^"\\]*)'  # of JSON in a string
)
_CREDENTIAL = re.compile(
    r"\b(?:Basic|Bearer|Digest|DPoP|Token)\s+"
    r"(?P<value>(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}|[\w.~+/=-]{24,})",
    re.IGNORECASE,
)
_PAIR = re.compile(r"\b(?P<name>[\w.-]+)=(?P<value>[^&\s\"'<>\\]+)")

_URLS = frozenset({"url", "endpoints", "proxy", "token_url"})
# Names of members of bodies, where more is no secret: `max_tokens`, `keywords`.
_IN_BODY = re.compile(
    "(?:(?:api|access|auth|private|secret)key|bearer|credentials?|passwd|password|secret|token)$"
)
_SHOWN_OF_OAUTH2 = frozenset({"client_id", "scope", "auth_method"})
_OAUTH2, _FUNCTION = "auth.oauth2", "auth.call"
_SHOWN_PARAMS = frozenset({"audience", "organization", "resource"})
_OAUTH2_PARAMS = "auth.oauth2.params"
_WINDOW = 8  # characters of a secret that are not shown


def is_secret_name(name: str) -> bool:
    """Whether the value of a header or query parameter of this name must be hidden."""
    words = [word.lower() for word in _BETWEEN_WORDS.split(name)]
    return bool(_ANYWHERE.search("".join(words)) or _WHOLE_WORDS.intersection(words))


def hide(value: str) -> str:
    """Hide a secret except for its variables and fields, and the scheme of credentials."""
    scheme = _CREDENTIALS.match(value)
    start = scheme[0] if scheme else ""
    literals = _NO_SECRET.split(value[len(start) :])
    literals[::2] = [HIDDEN if text.strip() else text for text in literals[::2]]
    return start + "".join(literals)


def is_secret_param(name: str) -> bool:
    """Whether the value of a parameter of a token request must be hidden, as most may be secret."""
    return name not in _SHOWN_PARAMS


def hide_in(text: str, secrets: Iterable[str]) -> str:
    """Hide secrets in a text, and any part of them with at least eight characters."""
    spans = []
    for secret in filter(None, secrets):
        size = min(len(secret), _WINDOW)
        parts = {secret[at : at + size] for at in range(len(secret) - size + 1)}
        starts = range(len(text) - size + 1)
        spans += [(at, at + size) for at in starts if text[at : at + size] in parts]
    shown, end = "", 0
    for start, stop in sorted(spans):
        if start > end or not shown:
            shown += text[end:start] + HIDDEN
        end = max(end, stop)
    return shown + text[end:]


def redact_header(name: str, value: str) -> str:
    """Return the value of a header as it may be shown."""
    return hide(value) if is_secret_name(name) or _CREDENTIALS.match(value) else value


def redact_url(url: str) -> str:
    """Return a URL, or a template of one, as it may be shown: without its fragment, never sent."""
    authority = _AUTHORITY.match(url)
    scheme, userinfo = authority.group("scheme", "userinfo") if authority else (None, None)
    rest = url[authority.end() if authority else 0 :].partition("#")[0]
    shown = scheme or ""
    if userinfo is not None:
        shown += ":".join(map(hide, _COLON.split(userinfo, maxsplit=1))) + "@"
    position = 0
    while parameter := _PARAMETER.search(rest, position):
        start, end = parameter.span("value")
        if not is_secret_name(unquote(parameter["name"])):
            end = start  # what follows a `;` may be a parameter of its own
        shown += rest[position:start] + hide(rest[start:end])
        position = end
    return shown + rest[position:]


def redact_response(text: str) -> str:
    """Return the text of a response as it may be shown: an API may send credentials back."""
    for pattern in (_MEMBER, _PAIR, _CREDENTIAL):
        text = pattern.sub(_without_value, text)
    return text


def _without_value(found: re.Match[str]) -> str:
    groups = found.groupdict()
    name = groups.get("name") or groups.get("inner")
    if name and not is_secret_name(name):
        return found[0]
    start, end = found.span("text" if groups.get("inner") else "value")
    return found.string[found.start() : start] + HIDDEN + found.string[end : found.end()]


def redact_setting(key: str, value: Any) -> Any:
    """Return the value of an API's key as it may be shown; `key` is dotted inside tables."""
    if isinstance(value, Mapping):
        if key == "headers":
            return {
                name: redact_header(name, text) if isinstance(text, str) else text
                for name, text in value.items()
            }
        if key == "endpoints":  # their keys mean what they mean in an API
            return {name: redact_setting(name, item) for name, item in value.items()}
        return {name: redact_setting(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_setting(key, item) for item in value]
    if isinstance(value, str):
        return _redact_text(key, value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return HIDDEN if is_number and _is_argument(key.rpartition(".")[0]) else value


def _is_argument(table: str) -> bool:
    """Whether the keys in a table may be arguments of a function, whose names tell nothing."""
    return table.partition(".")[0] == "auth" and table not in (_OAUTH2, _OAUTH2_PARAMS)


def _redact_text(key: str, text: str) -> str:
    table, _, name = key.rpartition(".")
    if table == _OAUTH2_PARAMS:
        return hide(text) if is_secret_param(name) else text
    if table.partition(".")[0] == "json":
        word = "".join(_BETWEEN_WORDS.split(name)).lower()
        return hide(text) if _IN_BODY.search(word) else text
    if _is_argument(table):
        return text if key == _FUNCTION else hide(text)
    if name in _URLS:
        return redact_url(text)
    is_secret = table == _OAUTH2 and name not in _SHOWN_OF_OAUTH2
    return hide(text) if is_secret else text


def find_hidden(key: str, value: Any) -> str:
    """Return the dotted key of a text that shows a secret as hidden; "" if there is none.

    Such a text is copied from where it was shown: it would be sent as it is.

    Args:
        key: of an API.
        value: its setting, as it was written.
    """
    return _find_same(key, value, redact_setting(key, _with_secrets(value)))


def find_written_out(key: str, value: Any) -> str:
    """Return the dotted key of a text that has a secret in the open; "" if there is none.

    The name of a user (`auth.basic`, `auth.digest`) is none here.

    Args:
        key: of an API.
        value: its setting, as TOML can hold it.
    """
    return _find_different(key, value, redact_setting(key, value))


def _find_different(key: str, value: Any, redacted: Any) -> str:
    if isinstance(value, Mapping):
        each = ((f"{key}.{name}", item, redacted[name]) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        has_user = key.endswith(("auth.basic", "auth.digest"))
        each = ((key, *pair) for pair in list(zip(value, redacted))[has_user:])
    else:
        is_hidden = isinstance(value, str) and HIDDEN in redacted and value != redacted
        return key if is_hidden else ""
    return next(filter(None, (_find_different(*found) for found in each)), "")


def _with_secrets(value: Any) -> Any:
    """Return a setting with something to hide in place of what is hidden."""
    if isinstance(value, Mapping):
        return {name: _with_secrets(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_secrets(item) for item in value]
    return value.replace(HIDDEN, "secret") if isinstance(value, str) else value


def _find_same(key: str, value: Any, redacted: Any) -> str:
    if isinstance(value, Mapping):
        found = (_find_same(f"{key}.{name}", item, redacted[name]) for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        found = (_find_same(key, item, other) for item, other in zip(value, redacted))
    else:
        return key if isinstance(value, str) and HIDDEN in value and value == redacted else ""
    return next(filter(None, found), "")

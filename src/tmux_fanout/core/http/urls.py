"""URLs in the configuration: environment variables in them, and their parts.

A variable is put in after the URL is parsed, as far as that can be: its value stands for a part of
the URL and keeps to it.  A token with `{`, `#` or `&` in it is a token, and begins no expression,
fragment or parameter.  Only a variable at the beginning, or in place of the host, may hold several
parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote, urlsplit

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.hosts import HostError, parse_host, parse_ip_literal
from tmux_fanout.core.http.messages import Origin, default_port

VARIABLE = re.compile(r"\$\{([^}]*)\}")
_EXPRESSION = re.compile(r"\{[^{}]*\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IP_LITERAL = re.compile(r"\[[^\[\]]+\](:\d*)?")
_SAFE_IN_TARGET = "%/:?@!$&'()*+,;=-._~[]"  # RFC 3986, section 3.3 and 3.4, and "%" as it stands

_SITE = re.compile(r"[^/?#{]*://[^/?#{]*")
_USERINFO = re.compile(r"(?:\$\{[^}]*\}|[^/?#@{])*@")
_BRACES = re.compile(r"[{}]")
_IN_PATH = re.compile(r"[{} ?#]")
_IN_QUERY = re.compile(r"[{} #]")
_IN_PARAMETER = re.compile(r"[{} #&+]")
# Half of a character stays, to be refused.
_IN_PASSWORD = re.compile(r"[^\x00-\x1fA-Za-z0-9._~!$&'()*+,;=%:\ud800-\udfff-]")
_IN_USER = re.compile(r"[^\x00-\x1fA-Za-z0-9._~!$&'()*+,;=%\ud800-\udfff-]")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")

EXAMPLE_URL = "https://api.example.com/v1"


def expand_variables(text: str, env: Mapping[str, str], key: str = "") -> str:
    """Return `text` with each `${VAR}` replaced by its value.

    Args:
        text: as configured.
        env: the environment variables.
        key: the configuration key, for messages.

    Raises:
        ConfigError: a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        try:
            return env[match[1]]
        except KeyError:
            name = match[1]
            if _NAME.fullmatch(name):
                raise ConfigError(f"${{{name}}} is not set; export {name}=...", key=key) from None
            why = "${...}: write the name of a variable between the braces"
            raise ConfigError(why, key=key) from None

    return VARIABLE.sub(value, text)


def expand_url(url: str, env: Mapping[str, str], key: str = "") -> str:
    """Return a URL, or a template of one, with each `${VAR}` replaced by its value.

    In a value, characters that would end its part of the URL are percent-encoded, and so are
    braces everywhere; percent-encoded ones stay as they are.

    Args:
        url: as configured.
        env: the environment variables.
        key: the configuration key, for messages.

    Raises:
        ConfigError: a variable is not set.
    """
    expanded, end = "", 0
    for match in VARIABLE.finditer(url):
        expanded += url[end : match.start()]
        end = match.end()
        expanded += fit_value(expand_variables(match[0], env, key), expanded, url[end:])
    return expanded + url[end:]


def fit_value(value: str, before: str, after: str) -> str:
    """Return the value of a variable as it stands in a URL.

    Args:
        value: of the variable.
        before: the URL up to the variable, expanded.
        after: the rest of the URL, not expanded.
    """
    unsafe = _unsafe_at(before, after)
    if unsafe is _BRACES:
        return unsafe.sub(_percent_encode, value)
    return unsafe.sub(_percent_encode, _BARE_PERCENT.sub("%25", value))


def _unsafe_at(before: str, after: str) -> re.Pattern[str]:
    """Return what a value may not hold, as it would end its part of the URL."""
    if _SITE.fullmatch(before):
        userinfo = _USERINFO.match(after)
        if userinfo is None:
            return _BRACES
        return _IN_USER if ":" in VARIABLE.sub("", userinfo[0]) else _IN_PASSWORD
    if not before:
        return _BRACES
    _, question_mark, query = before.partition("?")
    if not question_mark:
        return _IN_PATH
    return _IN_PARAMETER if "=" in query.rpartition("&")[2] else _IN_QUERY


def _percent_encode(match: re.Match[str]) -> str:
    return quote(match[0], safe="")


def parse_url(url: str) -> tuple[Origin, str, str]:
    """Return the origin, request target, and `user:password` or "" of an http or https URL.

    Characters that a request line cannot hold are percent-encoded; a fragment is dropped.  The
    target may be an RFC 6570 template, with blanks in its names; the origin may not.

    Raises:
        ConfigError: it is not such a URL; the message does not quote it, as it may hold a secret.
    """
    url = _EXPRESSION.sub(lambda match: match[0].replace(" ", "%20"), url)
    if re.search(r"[\x00-\x20\x7f\ud800-\udfff]", url):
        why = "it holds a blank or a control character; write %20 and so on"
        raise ConfigError(why, key="url")
    site, target = _split_url(url)
    try:
        parts = urlsplit(site)
        host = _host(parts)
    except HostError as exc:
        raise ConfigError(str(exc), key="url") from None
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        why = f"not an http or https URL; write one such as {EXAMPLE_URL}"
        raise ConfigError(why, key="url")
    port = _port(parts)
    if re.match(r"\{[^/?&+]", target):
        why = "a host cannot come from a record; write / before the expression"
        raise ConfigError(why, key="url")
    if not target.startswith(("/", "{/", "{+")):
        target = "/" + target
    credentials = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Origin(parts.scheme, host, port), target, credentials


def _split_url(url: str) -> tuple[str, str]:
    """Return scheme and authority, and path and query, quoted and without the fragment."""
    match = re.match(r"([^/?#{]*://[^/?#{]*)([^#]*)", url)
    if match is None:
        return "", ""
    return match[1], quote(match[2], safe=_SAFE_IN_TARGET + "{}")


def _port(parts: SplitResult) -> int:
    try:
        port = default_port(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise ConfigError("invalid port; use a number from 1 to 65535", key="url")
    return port


def _host(parts: SplitResult) -> str:
    """Return the host in the form for the resolver; "" if there is none.

    Raises:
        HostError: DNS cannot hold such a name.
        ValueError: it is not a host.
    """
    host = parts.hostname or ""
    if "[" not in parts.netloc:
        return parse_host(host) if host else ""
    if not _IP_LITERAL.fullmatch(parts.netloc.rpartition("@")[2]):
        return ""
    return parse_ip_literal(host)

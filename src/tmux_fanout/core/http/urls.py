"""URLs in the configuration: environment variables in them, and their parts."""

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

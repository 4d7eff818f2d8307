"""Unix sockets: their paths, and URLs that name one in place of a host.

/run/api.sock                     a file
@api                              on Linux, the abstract socket of that name (unix(7))
http+unix://%2Frun%2Fapi.sock/v1  a URL, with the path percent-encoded
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.urls import VARIABLE, expand_variables, parse_url
from tmux_fanout.core.text import invalid

HOST = "localhost"
"""The host of a URL that names a socket."""

_EXAMPLE_URL = "http+unix://%2Frun%2Fapi.sock/v1"
_PATH = "one such as /run/api.sock, or @name for an abstract socket"
_MAX_PATH = 107  # bytes; `sun_path` has 108, and ends in a NUL

_SCHEME = re.compile(r"(?i)(http\+unix|https\+unix|unix):")
_URL = re.compile(r"(?is)http\+unix://(?:([^/?#{}]*)@)?([^/?#{}@\x00-\x20\x7f]*)(.*)")
_PORT = re.compile(r":\d*\Z")
_FIELD = re.compile(r"(?<!\$)\{")
_IN_TARGET = re.compile(r"\.sock(?:et)?(?:[/?]|\Z)")  # the name of a socket, most likely


def parse_socket(value: Any) -> str:
    """Return the path of a socket, or `@` and the name of an abstract one.

    Raises:
        ConfigError: it is no such path.
    """
    if not isinstance(value, str) or not value:
        raise ConfigError(invalid("path", value, _PATH))
    if "://" in value or _SCHEME.match(value):
        raise ConfigError(f"a URL in place of a path: use {_PATH}")
    if _FIELD.search(value):
        raise ConfigError("a socket cannot come from a record: leave {...} out")
    if value.startswith("~"):
        raise ConfigError("'~' is not expanded: write ${HOME} in its place")
    if not VARIABLE.search(value):
        _check_path(value)
    return value


def plan_socket(path: str | None, env: Mapping[str, str]) -> str:
    """Return the path under `socket` with its variables expanded; "" if there is none.

    Raises:
        ConfigError: a variable is not set, or the path cannot be used.
    """
    if path is None:
        return ""
    expanded = expand_variables(path, env, "socket")
    try:
        _check_path(expanded)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="socket") from None
    return expanded


def parse_api_url(url: str) -> tuple[Origin, str, str]:
    """Return origin, target and userinfo of a URL, as `parse_url` does; it may name a socket.

    Raises:
        ConfigError: it is not such a URL; the message does not quote it, as it may hold a secret.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return parse_url(url)
    if scheme[1].lower() == "https+unix":
        why = "for TLS on a socket, use an https URL, and the path of the socket under socket"
        raise ConfigError(why, key="url")
    match = _URL.fullmatch(url)
    path = unquote(match[2], errors="surrogateescape") if match else ""
    if not match or not path:
        why = f"no socket in the URL: use its percent-encoded path as in {_EXAMPLE_URL}"
        raise ConfigError(why, key="url")
    if re.match(r"\{[^/?&+]", match[3]):
        why = "a socket cannot come from a record: leave {...} out of its path"
        raise ConfigError(why, key="url")
    if not path.startswith(("/", "@")) and _IN_TARGET.search(match[3]):
        why = f"the path of the socket ends at the first /: write each as %2F, as in {_EXAMPLE_URL}"
        raise ConfigError(why, key="url")
    if _PORT.search(match[2]):
        why = "a socket has no port: leave it out, and write %3A for a colon in the path"
        raise ConfigError(why, key="url")
    userinfo = "" if match[1] is None else f"{match[1]}@"
    origin, target, credentials = parse_url(f"http://{userinfo}{HOST}{match[3]}")
    try:
        _check_path(path)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="url") from None
    return origin._replace(socket=path), target, credentials


def _check_path(path: str) -> None:
    try:
        size = len(path.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        size = 0
    if "\0" in path or not size or path == "@":
        raise ConfigError(f"not the path of a socket: use {_PATH}")
    if size > _MAX_PATH:
        why = f"the path of the socket has {size} bytes: use one of {_MAX_PATH} bytes at most"
        raise ConfigError(f"{why}, such as a symbolic link to it")

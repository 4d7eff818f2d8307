"""The proxy for an origin, by setting or by environment variable, with the rules of curl.

The first of these variables that is set and not empty:

    http origins     http_proxy, all_proxy, ALL_PROXY
    https origins    https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY

HTTP_PROXY is ignored, as a web server that runs CGI programs sets it to a request's `Proxy` header.
no_proxy, or else NO_PROXY, lists the hosts that are reached directly, even if the settings name a
proxy.  (curl's manual: ENVIRONMENT, --proxy, --noproxy.)
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.hosts import parse_host
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.urls import parse_url

EXAMPLE_PROXY = "http://proxy.example.com:3128"

_DEFAULT_PORT = 1080  # for http proxies, as in curl
_VARIABLES = {
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy.  `str()` gives its URL without the credentials.

    Attributes:
        origin: where it listens.
        authorization: the value of the Proxy-Authorization header, or "".
        source: the configuration key or environment variable that names it.
    """

    origin: Origin
    authorization: str
    source: str

    def __repr__(self) -> str:
        return f"<Proxy {self} from {self.source}>"

    def __str__(self) -> str:
        return str(self.origin)


def parse_proxy(url: str, source: str) -> Proxy:
    """Return the proxy with a URL such as `[http://][user[:password]@]host[:port]`, or https.

    Args:
        url: as configured.
        source: the configuration key or environment variable that it is from.

    Raises:
        ConfigError: it is not such a URL; the message does not quote it, as it may hold a secret.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "http", url
    scheme = scheme.lower()
    if scheme.startswith("socks"):
        raise ConfigError(f"SOCKS is not supported; use {EXAMPLE_PROXY}", key=source)
    try:
        origin, _, userinfo = parse_url(f"{scheme}://{rest}")
    except ConfigError:
        why = f"not the URL of a proxy; use one such as {EXAMPLE_PROXY}"
        raise ConfigError(why, key=source) from None
    if scheme == "http" and not re.search(r":\d+$", re.split("[/?#]", rest, maxsplit=1)[0]):
        origin = origin._replace(port=_DEFAULT_PORT)
    credentials = base64.b64encode(userinfo.encode()).decode()
    return Proxy(origin, f"Basic {credentials}" if userinfo else "", source)


def proxy_for(origin: Origin, env: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that the environment names for an origin; None to connect directly.

    Raises:
        ConfigError: a variable does not hold the URL of a proxy.
    """
    variable = next((name for name in _VARIABLES[origin.scheme] if env.get(name)), None)
    if variable is None or is_exempt(origin.host, env):
        return None
    return parse_proxy(env[variable], variable)


def is_exempt(host: str, env: Mapping[str, str]) -> bool:
    """Return whether no_proxy, or NO_PROXY, lists a host."""
    return listed(host, env.get("no_proxy") or env.get("NO_PROXY") or "")


def listed(host: str, no_proxy: str) -> bool:
    """Return whether a list of names, addresses and networks (CIDR) covers a host.

    A name covers itself and its subdomains; `*` alone covers everything.
    """
    if no_proxy.strip() == "*":
        return True
    host = host.lower().rstrip(".")
    covers = _covers_address if _is_address(host) else _covers_name
    entries = re.split(r"[\s,]+", no_proxy.lower())
    return any(covers(_resolvable(entry), host) for entry in entries if entry)


def _resolvable(entry: str) -> str:
    """Return an entry in the form of `Origin.host`, or unchanged if it is not a name."""
    if entry.isascii():
        return entry
    try:
        return parse_host(entry.removeprefix("."))
    except ValueError:
        return entry


def _covers_name(entry: str, host: str) -> bool:
    name = entry.removeprefix(".").rstrip(".")
    return bool(name) and (host == name or host.endswith("." + name))


def _covers_address(entry: str, host: str) -> bool:
    entry = entry.removeprefix("[").removesuffix("]")
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

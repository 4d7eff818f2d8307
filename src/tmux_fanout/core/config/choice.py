"""Which transport serves an API, and why: native wherever possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tmux_fanout.core.config.settings import Api, TransportName
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.proxies import Proxy, is_exempt, parse_proxy, proxy_for
from tmux_fanout.core.http.urls import expand_url
from tmux_fanout.core.text import invalid

_CLIENT_PACKAGES = ("httpx", "httpx2")
# Which a client is configured with itself.
_OF_CLIENTS = ("connect_to", "http2", "proxy", "socket", "tls")


class Choice(NamedTuple):
    """A transport, the reason in words, and the proxies to use, by origin."""

    transport: Literal["native", "httpx", "asks"]
    why: str
    proxies: Mapping[Origin, Proxy]


def choose(
    api: Api,
    requested: TransportName,
    origins: Iterable[Origin],
    env: Mapping[str, str],
    *,
    env_proxy: bool,
) -> Choice:
    """Choose the transport of an API.

    Args:
        api: its settings.
        requested: the transport that the settings ask for.
        origins: where its requests go.
        env: the environment, for `${VAR}` in `proxy` and for the variables of
            `core.http.proxies`.
        env_proxy: whether those variables count.

    Raises:
        ConfigError: settings contradict each other, or a proxy is invalid.
    """
    if api.client is not None:
        _check_client(api, origins)
        proxies = {}
    else:
        proxies = _proxies(api, origins, env, env_proxy=env_proxy)
    needs = _needs(api, proxies)
    if needs and requested == "native":
        raise _contradiction(api, proxies)
    if requested != "auto":
        return Choice(requested, "; ".join(["transport says so", *needs]), proxies)
    if needs:
        return Choice("httpx", "; ".join(needs), proxies)
    return Choice("native", "the default", proxies)


def client_package(client: object) -> str | None:
    """Return `httpx` or `httpx2`, the package of an asynchronous client; None for all else.

    Clients are recognised by name, so that no HTTP library is imported.
    """
    for kind in type(client).__mro__:
        package = kind.__module__.partition(".")[0]
        if kind.__name__ == "AsyncClient" and package in _CLIENT_PACKAGES:
            return package
    return None


def _check_client(api: Api, origins: Iterable[Origin]) -> None:
    if client_package(api.client) is None:
        advice = "an httpx.AsyncClient, of httpx or httpx2"
        raise ConfigError(invalid("client", api.client, advice), key="client")
    for key in _OF_CLIENTS:
        if getattr(api, key):
            why = f"the client has its own: leave {key} or client out"
            raise ConfigError(why, key=key)
    if any(origin.socket for origin in origins):
        why = "the client connects by itself: give it the socket, and use an http URL here"
        raise ConfigError(why, key="url")


def _proxies(
    api: Api, origins: Iterable[Origin], env: Mapping[str, str], *, env_proxy: bool
) -> dict[Origin, Proxy]:
    if api.proxy is not None:
        if any(origin.socket for origin in origins):
            why = "no proxy leads to a Unix socket: leave out proxy, or the socket"
            raise ConfigError(why, key="proxy")
        proxy = parse_proxy(_expanded(api.proxy, env), "proxy")
        direct = env if env_proxy else {}
        return {origin: proxy for origin in origins if not is_exempt(origin.host, direct)}
    found: dict[Origin, Proxy] = {}
    for origin in origins if env_proxy else ():
        named = None if origin.socket else proxy_for(origin, env)
        if named:
            found[origin] = named
    return found


def _expanded(proxy: str, env: Mapping[str, str]) -> str:
    """Return the URL of a proxy, which may lack its scheme, with its variables expanded."""
    is_whole = "://" in proxy or (proxy.startswith("${") and "@" not in proxy)
    return expand_url(proxy if is_whole else f"http://{proxy}", env, "proxy")


def _needs(api: Api, proxies: Mapping[Origin, Proxy]) -> list[str]:
    """Return the reasons why native cannot serve the API."""
    needs = []
    if api.client is not None:
        needs.append("it has a client of its own")
    if api.http2:
        needs.append("http2 = true")
    for proxy in dict.fromkeys(proxies.values()):
        needs.append(f"{proxy.source} names a proxy, {proxy}")
    return needs


def _contradiction(api: Api, proxies: Mapping[Origin, Proxy]) -> ConfigError:
    advice = "use transport = auto"
    if api.client is not None:
        return ConfigError(f"native cannot use a client: {advice}", key="client")
    if api.http2:
        return ConfigError(f"native only speaks HTTP/1.1: {advice}", key="http2")
    source = next(iter(proxies.values())).source
    if source == "proxy":
        return ConfigError(f"native cannot use a proxy: {advice}", key="proxy")
    why = f"native cannot use the proxy that {source} names: {advice} or --no-env-proxy"
    return ConfigError(why, key="transport")

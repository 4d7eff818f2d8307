"""Which transport serves an API, and why: native wherever it can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tmux_fanout.core.config.client import client_package
from tmux_fanout.core.config.settings import Api, TransportName
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.proxies import Proxy, is_exempt, parse_proxy, proxy_for
from tmux_fanout.core.http.urls import expand_variables

_BROUGHT_ALONG = ("http2", "proxy", "tls")  # what a client has settings of its own for


class Choice(NamedTuple):
    """A transport, the reason in words, and the proxies that lead to some origins."""

    transport: Literal["native", "httpx", "asks"]
    why: str
    proxies: Mapping[Origin, Proxy]


def choose(
    api: Api,
    wish: TransportName,
    origins: Iterable[Origin],
    env: Mapping[str, str],
    *,
    env_proxy: bool,
) -> Choice:
    """Choose the transport of an API.

    Args:
        wish: what the settings say.
        origins: where its requests go.
        env: for `${VAR}` in `proxy`, and for the variables of `core.http.proxies`.
        env_proxy: whether those variables count.

    Raises:
        ConfigError: the settings contradict each other, or a proxy is none.
    """
    if api.client is not None:
        _check_client(api)
        proxies = {}
    else:
        proxies = _proxies(api, origins, env, env_proxy=env_proxy)
    needs = _needs(api, proxies)
    if needs and wish == "native":
        raise _contradiction(api, proxies)
    if wish != "auto":
        return Choice(wish, "; ".join(["transport says so", *needs]), proxies)
    if needs:
        return Choice("httpx", "; ".join(needs), proxies)
    return Choice("native", "the default", proxies)


def _check_client(api: Api) -> None:
    if client_package(api.client) is None:
        kind = type(api.client).__name__
        why = f"a {kind} is no httpx.AsyncClient; bring one, of httpx or httpx2"
        raise ConfigError(why, key="client")
    for key in _BROUGHT_ALONG:
        if getattr(api, key):
            raise ConfigError(f"the client brings its own; leave {key} or client out", key=key)


def _proxies(
    api: Api, origins: Iterable[Origin], env: Mapping[str, str], *, env_proxy: bool
) -> dict[Origin, Proxy]:
    if api.proxy is not None:
        proxy = parse_proxy(expand_variables(api.proxy, env, "proxy"), "proxy")
        direct = env if env_proxy else {}
        return {origin: proxy for origin in origins if not is_exempt(origin.host, direct)}
    found: dict[Origin, Proxy] = {}
    for origin in origins if env_proxy else ():
        named = proxy_for(origin, env)
        if named:
            found[origin] = named
    return found


def _needs(api: Api, proxies: Mapping[Origin, Proxy]) -> list[str]:
    """What native cannot do."""
    needs = []
    if api.client is not None:
        needs.append("it has a client of its own")
    if api.http2:
        needs.append("http2 = true")
    for proxy in dict.fromkeys(proxies.values()):
        needs.append(f"{proxy.source} names a proxy, {proxy}")
    return needs


def _contradiction(api: Api, proxies: Mapping[Origin, Proxy]) -> ConfigError:
    advice = "write transport = auto"
    if api.client is not None:
        return ConfigError(f"native cannot send with it; {advice}", key="client")
    if api.http2:
        return ConfigError(f"native speaks HTTP/1.1 only; {advice}", key="http2")
    source = next(iter(proxies.values())).source
    if source == "proxy":
        return ConfigError(f"native knows none; {advice}", key="proxy")
    why = f"native knows no proxies, and {source} names one; {advice}, or --no-env-proxy"
    return ConfigError(why, key="transport")

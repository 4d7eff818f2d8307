"""Which transport serves an API, and why."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin

URL = "https://api.example.com/v1"
ORIGIN = Origin("https", "api.example.com", 443)


def plan(env: dict[str, str] | None = None, *, env_proxy: bool = True, **keys: Any) -> ApiPlan:
    api = Api("a", **{"url": URL, **keys})
    return plan_run([api], RunSettings(env_proxy=env_proxy), env or {}).apis[0]


@pytest.mark.parametrize(
    ("env", "keys", "transport", "why"),
    [
        ({}, {}, "native", "the default"),
        ({}, {"transport": "native"}, "native", "transport says so"),
        ({}, {"transport": "httpx"}, "httpx", "transport says so"),
        ({}, {"http2": True}, "httpx", "http2 = true"),
        ({}, {"http2": True, "transport": "httpx"}, "httpx", "transport says so; http2 = true"),
        (
            {},
            {"proxy": "http://u:secret@p.test:1"},
            "httpx",
            "proxy names a proxy, http://p.test:1",
        ),
        ({"HTTPS_PROXY": "p.test:1"}, {}, "httpx", "HTTPS_PROXY names a proxy, http://p.test:1"),
        ({"http_proxy": "p.test:1"}, {}, "native", "the default"),
        ({"HTTPS_PROXY": "p.test:1", "no_proxy": "example.com"}, {}, "native", "the default"),
        ({"P": "p.test:1"}, {"proxy": "${P}"}, "httpx", "proxy names a proxy, http://p.test:1"),
        ({"NO_PROXY": "*"}, {"proxy": "p.test:1"}, "native", "the default"),
    ],
)
def test_plan_chooses_native_wherever_possible(
    env: dict[str, str], keys: dict[str, Any], transport: str, why: str
) -> None:
    """The reason is given with the choice, without secrets."""
    made = plan(env, **keys)
    assert (made.transport, made.why) == (transport, why)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:${PASS}@p.test:1",
        "me:${PASS}@p.test:1",
        "${USER}:${PASS}@p.test:1",
        "https://${PAIR}@p.test:1",
        "${PROXY}",
    ],
)
def test_plan_takes_any_password_of_a_proxy(proxy: str) -> None:
    """A variable's value is a password, whatever it looks like."""
    secret = "p@ss/{x}#?"
    env = {"PASS": secret, "USER": "me", "PAIR": f"me:{secret}"}
    env["PROXY"] = "http://me:p%40ss%2F%7Bx%7D%23%3F@p.test:1"
    [found] = plan(env, proxy=proxy).proxies.values()
    assert found.origin.host == "p.test"
    assert base64.b64decode(found.authorization.removeprefix("Basic ")) == f"me:{secret}".encode()


def test_plan_ignores_the_environment_on_request() -> None:
    """Neither its proxies nor its exceptions count."""
    env = {"HTTPS_PROXY": "p.test:1", "NO_PROXY": "*"}
    assert plan(env, env_proxy=False).transport == "native"
    assert ORIGIN in plan(env, env_proxy=False, proxy="q.test:1").proxies


def test_plan_looks_up_the_proxy_of_each_endpoint() -> None:
    """One endpoint may be reached directly and another through a proxy."""
    made = plan(
        {"https_proxy": "p.test:1", "no_proxy": "near.test"},
        url="/x",
        endpoints=["https://near.test", "https://far.test"],
    )
    assert [origin.host for origin in made.proxies] == ["far.test"]
    assert made.transport == "httpx"


@pytest.mark.parametrize(
    ("env", "keys", "words"),
    [
        ({}, {"http2": True}, "http2: native only speaks HTTP/1.1: use transport = auto"),
        ({}, {"proxy": "p.test:1"}, "proxy: native cannot use a proxy: use transport = auto"),
        ({"https_proxy": "p.test:1"}, {}, "transport: native cannot use the proxy that https_p"),
        ({}, {"client": httpx.AsyncClient()}, "client: native cannot use a client: "),
    ],
)
def test_plan_rejects_native_where_it_cannot_serve(
    env: dict[str, str], keys: dict[str, Any], words: str
) -> None:
    """Bypassing a proxy silently would be a surprise."""
    with pytest.raises(ConfigError) as caught:
        plan(env, transport="native", **keys)
    assert str(caught.value).startswith(f"API 'a': {words}")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"client": object()}, "client: invalid client (a value of type object): use an "),
        ({"client": httpx.Client()}, "client: invalid client (a value of type Client): use an "),
        ({"client": httpx.AsyncClient(), "http2": True}, "http2: the client has its own: leave"),
        ({"client": httpx.AsyncClient(), "proxy": "p:1"}, "proxy: the client has its own: leave"),
        ({"client": httpx.AsyncClient(), "tls": {"verify": False}}, "tls: the client has its own"),
        ({"proxy": "secret secret"}, "proxy: "),
    ],
)
def test_plan_rejects_contradictions(keys: dict[str, Any], words: str) -> None:
    """The message names the key."""
    with pytest.raises(ConfigError) as caught:
        plan(**keys)
    assert str(caught.value).startswith(f"API 'a': {words}")
    assert "secret" not in str(caught.value)


def test_plan_leaves_proxies_to_a_client() -> None:
    """A client reads the environment itself."""
    made = plan({"HTTPS_PROXY": "not a proxy"}, client=httpx.AsyncClient())
    assert (made.transport, made.why, made.proxies) == ("httpx", "it has a client of its own", {})

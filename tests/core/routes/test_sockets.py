"""Unix sockets: their paths, and URLs that name them."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.routes.sockets import parse_api_url

SOCKET = "http+unix://%2Frun%2Fx.sock"
URL = "http://api.test/v1"


def plan(url: str = URL, env: dict[str, str] | None = None, **keys: Any) -> ApiPlan:
    return plan_run([Api("a", url, **keys)], RunSettings(), env or {}).apis[0]


@pytest.mark.parametrize(
    ("url", "path", "target", "userinfo"),
    [
        (f"{SOCKET}/v1/{{id}}?q=1", "/run/x.sock", "/v1/{id}?q=1", ""),
        (SOCKET, "/run/x.sock", "/", ""),
        (f"{SOCKET}?q=1", "/run/x.sock", "/?q=1", ""),
        (f"{SOCKET}{{?q}}", "/run/x.sock", "/{?q}", ""),
        ("HTTP+UNIX://%2frun%2fX.sock/a", "/run/X.sock", "/a", ""),
        ("http+unix://x.sock/a", "x.sock", "/a", ""),
        ("http+unix://%40name/a", "@name", "/a", ""),
        ("http+unix://me:p%40w@%2Fx%3A1/a", "/x:1", "/a", "me:p@w"),
        ("http+unix://%2F%FF/a", "/\udcff", "/a", ""),
        ("https://api.test/v1", "", "/v1", ""),
    ],
)
def test_parse_api_url(url: str, path: str, target: str, userinfo: str) -> None:
    """The path stands percent-encoded in place of the host; the rest is as in other URLs."""
    origin, *rest = parse_api_url(url)
    assert (origin.socket, *rest) == (path, target, userinfo)
    if path:
        assert origin[:3] == ("http", "localhost", 80)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http+unix:///run/x.sock/v1", "no socket in the URL: use its percent-encoded path as in "),
        ("http+unix:/run/x.sock", "no socket in the URL"),
        ("unix:/run/x.sock", "percent-encoded path as in http+unix://%2Frun%2Fapi.sock/v1"),
        ("http+unix://{sock}/v1", "no socket in the URL"),
        ("http+unix://%2Frun%2F{x}.sock/v1", "a socket cannot come from a record: leave {...} out"),
        ("http+unix://run/x.sock", "the path of the socket ends at the first /: write each as %2F"),
        ("http+unix://run/x.sock/v1", "the path of the socket ends at the first /"),
        ("http+unix://var/run/x.socket?q=1", "the path of the socket ends at the first /"),
        ("http+unix://%2Fx.sock:80/v1", "a socket has no port: leave it out"),
        ("http+unix://%2Fx%00.sock/v1", "not the path of a socket: use one such as"),
        ("http+unix://%40/v1", "not the path of a socket: use one such as"),
        ("http+unix://%2F a/v1", "it holds a blank or a control character"),
        (f"http+unix://%2F{'a' * 107}/v1", "the path of the socket has 108 bytes: use one of 107"),
        ("https+unix://%2Fx.sock/v1", "for TLS on a socket, use an https URL, and the path of"),
    ],
)
def test_urls_of_sockets_are_refused_with_the_fix(url: str, words: str) -> None:
    """The message says how to write it, and names the key."""
    with pytest.raises(ConfigError, match=r"^API 'a': url: ") as info:
        plan(url)
    assert words in str(info.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "invalid path '': use one such as /run/api.sock, or @name for an abstract socket"),
        (5, "invalid path 5: use one such as"),
        ("http+unix://%2Fx", "a URL in place of a path: use one such as"),
        ("unix:/run/x.sock", "a URL in place of a path: use one such as"),
        ("/a\0b", "not the path of a socket"),
        ("@", "not the path of a socket"),
        ("/run/{id}.sock", "a socket cannot come from a record: leave {...} out"),
        ("${DIR}/{id}.sock", "a socket cannot come from a record: leave {...} out"),
        ("~/x.sock", "'~' is not expanded: write ${HOME} in its place"),
        ("\ud800", "not the path of a socket"),
        ("/" + "ä" * 54, "the path of the socket has 109 bytes: use one of 107 bytes at most"),
        ("${LONG}", "the path of the socket has 200 bytes"),
        ("${EMPTY}", "not the path of a socket"),
        ("${NONE}", "${NONE} is not set"),
    ],
)
def test_paths_are_refused_with_the_fix(path: Any, words: str) -> None:
    """The value of a variable is not shown."""
    with pytest.raises(ConfigError) as info:
        plan(socket=path, env={"LONG": "x" * 200, "EMPTY": ""})
    assert str(info.value).startswith(f"API 'a': socket: {words}")


def test_socket_keeps_the_host_of_the_url() -> None:
    """It says where to connect, and the URL what for; two sockets are two origins."""
    found = plan("https://api.test:8443/v1", socket="${DIR}/x.sock", env={"DIR": "/run"})
    assert found.origin == Origin("https", "api.test", 8443, "/run/x.sock")
    assert ("Host", "api.test:8443") in found.requests.headers
    assert f"{found.origin}" == "https://api.test:8443 at the socket /run/x.sock"
    assert found.origin != plan("https://api.test:8443/v1", socket="/run/y.sock").origin
    assert ("Host", "localhost") in plan(SOCKET).requests.headers
    named = plan(SOCKET, headers={"Host": "me"}).requests.headers
    assert [value for name, value in named if name == "Host"] == ["me"]


def test_endpoints_may_be_sockets() -> None:
    """Each is named after its own; `socket` holds for all of them."""
    found = plan("/v1", endpoints=[f"{SOCKET}/a", "http+unix://%2Fy/b"]).endpoints
    assert [each.name for each in found] == [
        "http://localhost at the socket /run/x.sock",
        "http://localhost at the socket /y",
    ]
    assert [(each.origin.socket, each.prefix) for each in found] == [
        ("/run/x.sock", "/a"),
        ("/y", "/b"),
    ]
    shared = plan("/v1", endpoints=["http://a.test", "http://b.test"], socket="/z").endpoints
    assert {each.origin.socket for each in shared} == {"/z"}


def test_jobs_are_polled_on_the_same_socket() -> None:
    """A path, or a URL of the same host, leads there."""
    for url in ("/j/{_submitted.id}", "http://api.test/j/{_submitted.id}"):
        assert plan(socket="/x", poll={"url": url, "until": "done"}).series
    assert plan(SOCKET, poll={"url": f"{SOCKET}/j/{{_submitted.id}}", "until": "done"}).series
    with pytest.raises(ConfigError, match="where the job is submitted"):
        plan(poll={"url": f"{SOCKET}/j/{{_submitted.id}}", "until": "done"})


ENV = {"http_proxy": "http://proxy.test", "all_proxy": "http://proxy.test"}


def test_proxies_of_the_environment_lead_to_no_socket() -> None:
    """They lead to hosts; a proxy that the settings name is a contradiction."""
    assert not plan(SOCKET, env=ENV).proxies
    assert not plan(socket="/x", env=ENV).proxies
    assert plan(env=ENV).proxies


@pytest.mark.parametrize(
    ("url", "keys", "message"),
    [
        (SOCKET, {"socket": "/x"}, "socket: the URL names a socket, too: leave one of the two out"),
        (
            URL,
            {"socket": "/x", "connect_to": "b"},
            "connect_to: a Unix socket has no host and port: ",
        ),
        (SOCKET, {"connect_to": "b"}, "connect_to: a Unix socket has no host and port: leave out"),
        (SOCKET, {"proxy": "http://p"}, "proxy: no proxy leads to a Unix socket: leave out proxy"),
        ("{+url}", {"hosts": ["*"], "socket": "/x"}, "socket: not beside hosts, as each host has "),
        ("{+url}", {"hosts": ["*"], "connect_to": "a:1"}, "connect_to: not beside hosts, as each"),
        (SOCKET, {"hosts": ["*"]}, "hosts: no effect, as url has its host"),
    ],
)
def test_contradictions_are_refused(url: str, keys: dict[str, Any], message: str) -> None:
    """The message names the key and what to leave out."""
    with pytest.raises(ConfigError) as info:
        plan(url, **keys)
    assert str(info.value).startswith(f"API 'a': {message}")

"""Answers in a cache are those to one client: another one's credentials have other keys."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request, RequestHead
from tmux_fanout.core.requests.reuse.cache import CacheKeys

CLIENT = {"token_url": "https://t/", "client_id": "a", "client_secret": "s"}
CREDENTIALS: list[Any] = [
    None,
    {"digest": ["me", "x"]},
    {"digest": ["you", "x"]},
    {"call": "a:b", "key": "x"},
    {"call": "a:b", "key": "y"},
    {"call": "a:c", "key": "x"},
    {"call": "a:b", "key": b"x"},
    {"call": "a:b", "key": b"y"},
    {"call": "a:b", "key": "\udcff"},
    {"call": "a:b", "session": object()},
    {"oauth2": CLIENT},
    {"oauth2": CLIENT | {"client_id": "b"}},
]


SERVERS: list[dict[str, Any]] = [
    {},
    {"url": "http://localhost/"},
    {"url": "http://localhost/", "socket": "/run/a.sock"},
    {"url": "http+unix://%2Frun%2Fb.sock/"},
    {"connect_to": "staging"},
    {"connect_to": "${PLACE}"},
    {"tls": {"cert": "mine.pem"}},
]


def key(auth: Any = None, **keys: Any) -> bytes:
    cache = {"dir": "d", "ttl": 1}
    api = Api("a", **{"url": "https://h/", "auth": auth, "cache": cache, **keys})
    [plan] = plan_run([api], RunSettings(), {"PLACE": "elsewhere"}).apis
    assert plan.cache is not None
    head = RequestHead("GET", plan.origin, "/", ())
    return CacheKeys(plan.cache, plan.requests, b"salt").key_of(Request(head, None))


def test_each_client_has_its_own_keys() -> None:
    keys = [key(auth) for auth in CREDENTIALS]
    assert len(set(keys)) == len(keys)
    assert keys == [key(auth) for auth in CREDENTIALS]


def test_each_server_has_its_own_keys() -> None:
    """A URL may lead to several: through a socket, elsewhere, or with another certificate."""
    keys = [key(**each) for each in SERVERS]
    assert len(set(keys)) == len(keys)
    assert keys == [key(**each) for each in SERVERS]


@pytest.mark.parametrize(
    ("auth", "renewed"),
    [
        ({"digest": ["me", "x"]}, {"digest": ["me", "y"]}),
        ({"oauth2": CLIENT}, {"oauth2": CLIENT | {"client_secret": "y"}}),
    ],
)
def test_a_new_password_keeps_them(auth: Any, renewed: Any) -> None:
    assert key(auth) == key(renewed)

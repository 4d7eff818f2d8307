"""Answers in a cache are those to one client: another one's credentials have other keys."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request, RequestHead
from tmux_fanout.core.requests.reuse.cache import CacheKeys, CachePlan

PLAN = CachePlan(dir="d", shown="d", ttl=1.0, max_size=1, context=b"")
CLIENT = {"token_url": "https://t/", "client_id": "a", "client_secret": "s"}
CREDENTIALS: list[Any] = [
    None,
    {"digest": ["me", "x"]},
    {"digest": ["you", "x"]},
    {"call": "a:b", "key": "x"},
    {"call": "a:b", "key": "y"},
    {"call": "a:c", "key": "x"},
    {"call": "a:b", "session": object()},
    {"oauth2": CLIENT},
    {"oauth2": CLIENT | {"client_id": "b"}},
]


def key(auth: Any) -> bytes:
    [plan] = plan_run([Api("a", "https://h/", auth=auth)], RunSettings(), {}).apis
    head = RequestHead("GET", plan.origin, "/", ())
    return CacheKeys(PLAN, plan.requests, b"salt").key_of(Request(head, None))


def test_each_client_has_its_own_keys() -> None:
    keys = [key(auth) for auth in CREDENTIALS]
    assert len(set(keys)) == len(keys)
    assert keys == [key(auth) for auth in CREDENTIALS]


@pytest.mark.parametrize(
    ("auth", "renewed"),
    [
        ({"digest": ["me", "x"]}, {"digest": ["me", "y"]}),
        ({"oauth2": CLIENT}, {"oauth2": CLIENT | {"client_secret": "y"}}),
    ],
)
def test_a_new_password_keeps_them(auth: Any, renewed: Any) -> None:
    assert key(auth) == key(renewed)

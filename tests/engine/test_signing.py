"""Signed requests, and HTTP Digest, of programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.digest import PASSWORD, USER, DigestGuard
from support.loopback import Loopback, loopback

from tmux_fanout import Api, ConfigError, Digest, Plan, fanout_sync


class Credentials:
    """An object that a program has, and no configuration file can hold."""

    key = "c4n4ry"


def sign(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, given: Credentials
) -> dict[str, str]:
    return {"X-Key": given.key, "X-Length": str(len(body))}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


def test_a_program_may_have_the_function_itself(server: Loopback) -> None:
    """And any value beside it."""
    api = Api("a", server.url(), auth={"call": sign, "given": Credentials()})
    results = list(fanout_sync([{"id": 1}, {"id": 22}], [api]))
    assert all(result.ok for result in results)
    assert sorted(headers["X-Length"] for headers in server.headers) == ["8", "9"]
    assert {headers["X-Key"] for headers in server.headers} == {"c4n4ry"}
    assert "c4n4ry" not in repr(api)


def test_a_mistake_is_in_the_notation_of_python(server: Loopback) -> None:
    """When the settings are made, or, if it is about the function, when they are used."""
    with pytest.raises(ConfigError, match=r"auth\.call: not a function: use text such as"):
        Api("a", server.url(), auth={"call": 5})
    api = Api("a", server.url(), auth={"call": sign})
    with pytest.raises(ConfigError, match=r"missing a required .*argument: 'given'"):
        list(fanout_sync([{}], [api]))
    assert server.bodies == []


def test_digest_of_a_program(server: Loopback) -> None:
    """As a value, or as a table."""
    server.guard = guard = DigestGuard()
    for auth in (Digest(USER, PASSWORD), {"digest": [USER, PASSWORD]}):
        guard.seen.clear()
        results = list(fanout_sync([1, 2, 3], [Api("a", server.url(), auth=auth)]))
        assert [result["a"].attempts for result in results] == [1, 1, 1]
        assert guard.seen == ["", "Digest", "Digest", "Digest"]


def test_a_plan_finds_modules_beside_its_file(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all others."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_a_plan.py").write_text("def sign(*request): return {'X-From': 'module'}")
    path = tmp_path / "c.toml"
    path.write_text(f'[api.a]\nurl = "{server.url()}"\nauth = {{ call = "beside_a_plan:sign" }}\n')
    assert all(result.ok for result in fanout_sync([{}], Plan.from_file(path)))
    assert server.headers[0]["X-From"] == "module"
    assert sys.path.index(str(tmp_path)) > 0
    Plan.from_file(path)
    assert sys.path.count(str(tmp_path)) == 1

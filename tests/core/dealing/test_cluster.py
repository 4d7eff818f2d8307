"""Addresses of clusters, what may be sent there, and a plan without secrets."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.dealing.cluster import (
    check_sendable,
    check_trusted,
    parse_cluster,
    plan_for_cluster,
    read_scheduler_file,
    scheduler_file,
)
from tmux_fanout.core.errors import ConfigError

URL = "https://a.example/v1"


@pytest.mark.parametrize(
    "text", ["tcp://10.0.0.7:8786", "tls://scheduler:8786", "tcp://[::1]:8786", "file:a/b.json"]
)
def test_addresses(text: str) -> None:
    assert parse_cluster(text) == text
    assert scheduler_file(text) == ("a/b.json" if text.startswith("file") else None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.7:8786",
        "tcp://10.0.0.7",
        "http://a:1",
        "tcp://:1",
        "file:",
        "tcp://a:1/b",
        5,
        None,
        "tcp://user:secret@a:1",
        "tcp://a:99999",
        "inproc://a:1",
        "tcp://[::1:8786",
    ],
)
def test_other_texts_are_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="use tcp://HOST:PORT, tls://") as found:
        parse_cluster(text)
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"address": 1}', '{"address": "inproc://a"}'])
def test_file_without_an_address(content: str) -> None:
    with pytest.raises(ConfigError, match="no address of a scheduler"):
        read_scheduler_file(content)
    assert read_scheduler_file('{"id": 1, "address": "tcp://a:1"}') == "tcp://a:1"


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("tls://10.0.0.7:1", True),
        ("tcp://127.0.0.9:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://localhost:1", True),
        ("tcp://10.0.0.7:1", False),
        ("tcp://localhost.example:1", False),
        ("tcp://0.0.0.0:1", False),
    ],
)
def test_plain_connections_stay_on_this_machine(address: str, is_trusted: bool) -> None:
    """Unless the user trusts the network."""
    check_trusted(address, trust_network=True)
    if is_trusted:
        check_trusted(address, trust_network=False)
    else:
        with pytest.raises(ConfigError, match="--trust-network"):
            check_trusted(address, trust_network=False)


OAUTH2 = {"token_url": URL, "client_id": "me", "client_secret": "${SECRET}", "scope": "all"}


@pytest.mark.parametrize(
    "keys",
    [
        {"headers": {"Authorization": "Bearer ${TOKEN}", "X-Id": "{id}", "Accept": "text/plain"}},
        {"auth": {"bearer": "${TOKEN}"}},
        {"auth": {"basic": ["alice", "${PASSWORD}"]}},
        {"auth": {"oauth2": OAUTH2}},
        {"auth": {"digest": ["alice", "${PASSWORD}"]}},
        {"auth": {"call": "signing:sign", "key": "${KEY}", "rounds": 5, "more": {"a": [True]}}},
        {"url": URL + "?lang=en&key=${KEY}#part"},
        {"proxy": "http://${USER}:${PASSWORD}@proxy:3128"},
        {"socket": "${USER}/${PASSWORD}.sock"},
        {"connect_to": "${USER}:${PASSWORD}"},
        {"url": "/v1", "endpoints": [{"url": "https://eu.example", "auth": {"bearer": "${A}"}}]},
        {"idempotency_key": "{token}", "rate_headers": {"remaining": "x-tokens-left"}},
    ],
)
def test_variables_may_be_sent(keys: dict[str, Any]) -> None:
    check_sendable([Api("x", **{"url": URL, **keys})])


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"headers": {"Authorization": "Bearer s3"}}, "headers.Authorization"),
        ({"headers": {"X-Api-Key": "${A}s3"}}, "headers.X-Api-Key"),
        ({"auth": {"bearer": "s3"}}, "auth.bearer"),
        ({"auth": {"basic": ["alice", "s3"]}}, "auth.basic"),
        ({"auth": {"oauth2": {**OAUTH2, "client_secret": "s3"}}}, "auth.oauth2.client_secret"),
        ({"auth": {"oauth2": {**OAUTH2, "params": {"pin": "s3"}}}}, "auth.oauth2.params.pin"),
        ({"url": URL + "?key=s3"}, "url"),
        ({"url": "https://me:s3@a.example"}, "url"),
        ({"proxy": "http://me:s3@proxy:3128"}, "proxy"),
        ({"url": "/", "endpoints": [{"url": URL, "auth": {"bearer": "s3"}}]}, "endpoints"),
        ({"url": "/", "endpoints": [{"url": URL, "headers": {"token": "s3"}}]}, "endpoints"),
    ],
)
def test_secrets_in_the_open_are_refused(keys: dict[str, Any], where: str) -> None:
    """The message names the key, and not the secret."""
    with pytest.raises(ConfigError, match=r"write \${VAR}, and set VAR where the workers") as found:
        check_sendable([Api("x", **{"url": URL, **keys})])
    assert found.value.key.startswith(where)
    assert "s3" not in str(found.value)


def test_client_of_the_program_is_refused() -> None:
    with pytest.raises(ConfigError, match="client: a client cannot be sent"):
        check_sendable([Api("x", URL, client=object())])


def test_plan_needs_the_variables_of_urls_only() -> None:
    """Those in headers, credentials, proxies and TLS are the members' own."""
    api = Api(
        "x",
        "/${VERSION}/{id}",
        headers={"X-Key": "${KEY}"},
        auth={"oauth2": {**OAUTH2, "token_url": "${TOKEN_URL}"}},
        proxy="${PROXY}",
        endpoints=[
            {"url": "https://${HOST}", "auth": {"bearer": "${A}"}, "headers": {"b": "${B}"}}
        ],
        tls={"ca": "/nowhere/ca.pem"},
    )
    plan = plan_for_cluster([api], RunSettings(), {"HOST": "eu.example", "VERSION": "v1"})
    assert plan.apis[0].origin.host == "eu.example"
    assert plan.window == 8192
    with pytest.raises(ConfigError, match="HOST"):
        plan_for_cluster([api], RunSettings(), {"VERSION": "v1"})


def test_secrets_of_this_process_are_not_planned_with() -> None:
    api = Api("x", URL, headers={"X-Key": "${KEY}"})
    plan = plan_for_cluster([api], RunSettings(window=50), {"KEY": "s3"})
    assert plan.window == 50
    assert "s3" not in str(plan.apis[0].requests.headers)


@pytest.mark.parametrize(
    "auth",
    [{"call": print}, {"call": "a:b", "session": object()}, {"call": "a:b", "more": [b"x"]}],
)
def test_functions_and_objects_stay_here(auth: dict[str, Any]) -> None:
    """Another machine can import what has a name."""
    at_endpoint: dict[str, Any] = {"endpoints": [{"url": URL, "auth": auth}]}
    for api in (Api("x", URL, auth=auth), Api("x", **at_endpoint)):
        with pytest.raises(ConfigError, match=r"auth\.call: a function cannot be sent to other"):
            check_sendable([api])

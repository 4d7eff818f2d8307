"""The settings that are tables: what they take, and one line for what they do not."""

from collections.abc import Callable
from typing import Any

import pytest

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import parse_auth, parse_batch, parse_tls
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Basic, Bearer, OAuth2
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.requests.options import Batch

OAUTH = {"token_url": "http://t.test/", "client_id": "me", "client_secret": "s3cret"}


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (parse_auth, {"bearer": "${T}"}, Bearer("${T}")),
        (parse_auth, {"basic": ["me", "pw"]}, Basic("me", "pw")),
        (parse_auth, {"oauth2": OAUTH}, OAuth2(**OAUTH)),
        (parse_auth, {"oauth2": {**OAUTH, "scope": "a b"}}, OAuth2(**OAUTH, scope="a b")),
        (parse_tls, {"ca": "ca.pem"}, Tls(ca="ca.pem")),
        (parse_tls, {"verify": False}, Tls(verify=False)),
        (parse_tls, {"cert": "c.pem", "key": "k.pem"}, Tls(cert="c.pem", key="k.pem")),
        (parse_batch, {"size": 50}, Batch(size=50)),
        (
            parse_batch,
            {"size": 1, "format": "ndjson", "items": "data", "key": "id"},
            Batch(size=1, format="ndjson", items="data", key="id"),
        ),
    ],
)
def test_tables_are_read(parse: Callable[[object], Any], value: object, expected: object) -> None:
    """A table becomes a struct, and a struct stays what it is; its repr shows no secret."""
    assert parse(value) == expected
    assert parse(expected) == expected
    assert "s3cret" not in repr(parse(value))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("auth", "Bearer s3cret", "auth: write one of { bearer = ... }, { basic"),
        ("auth", {}, "auth: write one of"),
        ("auth", {"bearer": ["s3cret"]}, "auth: write one of"),
        ("auth", {"bearer": "a", "basic": ["s3cret", "b"]}, "auth: write one of"),
        ("auth", {"basic": "me:s3cret"}, "auth: write one of"),
        ("auth", {"basic": ["me", "s3cret", "more"]}, "auth: write one of"),
        ("auth", {"basic": ["m:e", "s3cret"]}, "auth.basic: a user's name cannot hold a colon"),
        ("auth", {"baerer": "s3cret"}, "auth.baerer: unknown key; did you mean bearer?"),
        ("auth", {"oauth2": "s3cret"}, "auth.oauth2: write a table with token_url, client_id,"),
        ("auth", {"oauth2": {"token_url": "u"}}, "auth.oauth2.client_id: it is missing; add it"),
        (
            "auth",
            {"oauth2": {**OAUTH, "token_uri": "s3cret"}},
            "auth.oauth2.token_uri: unknown key; did you mean token_url?",
        ),
        ("tls", True, "tls: write a table with ca, cert, key, verify"),
        ("tls", {"cafile": "x"}, "tls.cafile: unknown key; did you mean ca?"),
        ("tls", {"verify": "no"}, "tls.verify: write true or false"),
        ("tls", {"key": "k.pem"}, "tls: a key without its certificate; add cert"),
        ("tls", {"ca": "c", "verify": False}, "tls: verify = false looks at no certificate"),
        ("batch", 50, "batch: write a table with size, format, items, key"),
        ("batch", {}, "batch.size: it is missing; add it"),
        ("batch", {"size": 0}, "batch.size: 0 is not a whole number of at least 1"),
        ("batch", {"size": 5, "format": "xml"}, "batch.format: write json or ndjson"),
    ],
    ids=str,
)
def test_tables_refuse(field: str, value: Any, message: str) -> None:
    """A mistake names the keys that lead to it, and shows no secret."""
    with pytest.raises(ConfigError) as caught:
        Api("a", "https://a.test/", **{field: value})
    assert str(caught.value).startswith(f"API 'a': {message}")
    assert "s3cret" not in str(caught.value)

"""Settings that are tables: what they accept, and one line for what they reject."""

from collections.abc import Callable
from typing import Any

import pytest

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import (
    parse_auth,
    parse_batch,
    parse_breaker,
    parse_limit,
    parse_rate_headers,
    parse_tls,
)
from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Basic, Bearer, Digest, OAuth2
from tmux_fanout.core.http.rate_headers import WELL_KNOWN, RateHeaders
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.requests.options import Batch

OAUTH: dict[str, Any] = {
    "token_url": "http://t.test/",
    "client_id": "me",
    "client_secret": "s3cret",
}


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (parse_auth, {"bearer": "${T}"}, Bearer("${T}")),
        (parse_auth, {"basic": ["me", "pw"]}, Basic("me", "pw")),
        (parse_auth, {"digest": ["me", "pw"]}, Digest("me", "pw")),
        (parse_auth, Digest("me", "pw"), Digest("me", "pw")),
        (parse_auth, {"oauth2": OAUTH}, OAuth2(**OAUTH)),
        (parse_auth, {"oauth2": {**OAUTH, "scope": "a b"}}, OAuth2(**OAUTH, scope="a b")),
        (
            parse_auth,
            {"oauth2": {**OAUTH, "params": {"audience": "a", "resource": ["b", "c"]}}},
            OAuth2(**OAUTH, params=(("audience", "a"), ("resource", "b"), ("resource", "c"))),
        ),
        (parse_auth, {"oauth2": {**OAUTH, "params": {}}}, OAuth2(**OAUTH)),
        (
            parse_auth,
            {"oauth2": {**OAUTH, "auth_method": "post"}},
            OAuth2(**OAUTH, auth_method="post"),
        ),
        (parse_auth, OAuth2(**OAUTH, params={"a": "b"}), OAuth2(**OAUTH, params=(("a", "b"),))),
        (parse_tls, {"ca": "ca.pem"}, Tls(ca="ca.pem")),
        (parse_tls, {"verify": False}, Tls(verify=False)),
        (parse_tls, {"cert": "c.pem", "key": "k.pem"}, Tls(cert="c.pem", key="k.pem")),
        (parse_breaker, {}, BreakerSettings()),
        (
            parse_breaker,
            {"failures": 2, "open": "250ms", "max_open": 5, "wait": "1m"},
            BreakerSettings(failures=2, open=0.25, max_open=5.0, wait=60.0),
        ),
        (parse_limit, "adaptive", Adaptive()),
        (parse_limit, {"min": 2}, Adaptive(min=2)),
        (parse_limit, 5, 5),
        (parse_batch, {"size": 50}, Batch(size=50)),
        (
            parse_batch,
            {"size": 1, "format": "ndjson", "items": "data", "key": "id"},
            Batch(size=1, format="ndjson", items="data", key="id"),
        ),
    ],
)
def test_tables_become_structs(
    parse: Callable[[object], Any], value: object, expected: object
) -> None:
    """A table becomes a struct, and a struct stays as it is; its repr shows no secret."""
    assert parse(value) == expected
    assert parse(expected) == expected
    assert "s3cret" not in repr(parse(value))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("auth", "Bearer s3cret", "auth: invalid credentials: use { bearer = ... }, { basic"),
        ("auth", {}, "auth: invalid credentials: use { bearer"),
        ("auth", {"bearer": ["s3cret"]}, "auth.bearer: invalid token: use text in quotes"),
        ("auth", {"bearer": ""}, "auth.bearer: invalid token: use text in quotes"),
        (
            "auth",
            {"bearer": "a", "basic": ["s3cret", "b"]},
            "auth: bearer and basic: only one of them is possible",
        ),
        ("auth", {"basic": "me:s3cret"}, "auth.basic: invalid credentials: use [user, password]"),
        ("auth", {"basic": ["me", "s3cret", "more"]}, "auth.basic: invalid credentials: use [user"),
        (
            "auth",
            {"basic": [5, "s3cret"]},
            "auth.basic: invalid credentials: use [user, password], b",
        ),
        (
            "auth",
            {"basic": ["m:e", "s3cret"]},
            "auth.basic: invalid user: use a name without a colon",
        ),
        (
            "auth",
            {"digest": ["a", "s3cret"], "basic": ["a", "s3cret"]},
            "auth: digest and basic: only one of them is possible: leave the other out",
        ),
        ("cache", {"dir": "d", "tll": "1h"}, "cache: unknown key 'tll': did you mean ttl?"),
        ("cache", {"dir": "a/{id}", "ttl": "1d"}, "cache.dir: a folder cannot come from a record"),
        ("auth", {"digest": "me:s3cret"}, "auth.digest: invalid credentials: use [user, password]"),
        (
            "auth",
            {"digest": ["m:e", "s3cret"]},
            "auth.digest: invalid user: use a name without a colon",
        ),
        ("auth", {"digest": ["a", "b"], "key": "s3cret"}, "auth: unknown key 'key' here: it is"),
        ("auth", {"call": ""}, "auth.call: not a function: use text such as "),
        ("auth", {"call": "a:b", "basic": ["s3cret", "b"]}, "auth.basic: call or basic, not both"),
        ("auth", {"call": "a:b", "a b": "s3cret"}, "auth: no name of an argument, 'a…': use"),
        ("auth", {"baerer": "s3cret"}, "auth: unknown key 'baerer': did you mean bearer?"),
        (
            "auth",
            {"oauth2": "s3cret"},
            "auth.oauth2: not a table: use one with token_url, client_id",
        ),
        ("auth", {"oauth2": {"token_url": "u"}}, "auth.oauth2: missing key 'client_id': add it"),
        (
            "auth",
            {"oauth2": {**OAUTH, "token_uri": "s3cret"}},
            "auth.oauth2: unknown key 'token_uri': did you mean token_url?",
        ),
        *(
            ("auth", {"oauth2": {**OAUTH, **keys}}, f"auth.oauth2.{message}")
            for keys, message in (
                ({"params": "s3cret"}, "params: not a table: use one such as { audience"),
                ({"params": ["s3cret"]}, "params: not a table: use one such as { audience"),
                ({"params": {"": "s3cret"}}, "params: a parameter without a name: use one such"),
                ({"params": {"a": 5}}, "params.a: invalid value: use text in quotes, or a list"),
                ({"params": {"a": None}}, "params.a: invalid value: use text in quotes, or a"),
                ({"params": {"a": {"b": "s3cret"}}}, "params.a: invalid value: use text in quotes"),
                ({"params": {"a": ["s3cret", 5]}}, "params.a: invalid value: use text in quotes"),
                ({"params": {"scope": "s3cret"}}, "params.scope: use the key scope of oauth2"),
                ({"params": {"grant_type": "x"}}, "params.grant_type: tmux-fanout sets it: leave"),
                ({"auth_method": "jwt"}, "auth_method: invalid value: use basic or post"),
                ({"auth_method": 5}, "auth_method: invalid value: use text in quotes"),
            )
        ),
        (
            "auth",
            {"oauth2": {**OAUTH, "parms": {}}},
            "auth.oauth2: unknown key 'parms': did you mean params?",
        ),
        ("tls", True, "tls: not a table: use one with ca, cert, key, verify"),
        (
            "auth",
            {"oauth2": {"audience": "x", "token_url": "https://h/"}},
            "auth.oauth2: unknown key 'audience' here: write params = { audience = ... }",
        ),
        (
            "auth",
            {"bearer": "s3cret", "resource": "x"},
            "auth: unknown key 'resource' here: write oauth2 = { params = { resource = ... } }",
        ),
        (
            "breaker",
            {"limit": 3},
            "breaker: unknown key 'limit' here: it is a key of the API: move it out of breaker",
        ),
        (
            "tls",
            {"token_url": "x"},
            "tls: unknown key 'token_url' here: it is a key of auth.oauth2: move it there",
        ),
        (
            "endpoints",
            [{"url": "https://h/", "bearer": "s3cret"}],
            "endpoints: endpoint 1: unknown key 'bearer' here: write auth = { bearer = ... }",
        ),
        (
            "endpoints",
            ["https://h/", {"url": "https://h/", "auth": {"oauth2": {"audience": "x"}}}],
            "endpoints: endpoint 2: auth.oauth2: unknown key 'audience' here: write params = {",
        ),
        (
            "endpoints",
            [{"url": "https://h/", "retries": 3}],
            "endpoints: endpoint 1: unknown key 'retries' here: it is a key of the API: move",
        ),
        ("tls", {"cafile": "x"}, "tls: unknown key 'cafile': did you mean ca?"),
        ("tls", {"verify": "no"}, "tls.verify: invalid value: use true or false"),
        ("tls", {"key": "k.pem"}, "tls: a key without its certificate: add cert"),
        (
            "tls",
            {"ca": "c", "verify": False},
            "tls: verify = false ignores ca: leave one of the two out",
        ),
        ("batch", 50, "batch: not a table: use one with size, format, items, key"),
        ("batch", {}, "batch: missing key 'size': add it"),
        ("batch", {"size": 0}, "batch.size: invalid number 0: use a whole number of at least 1"),
        ("batch", {"size": 5, "format": "xml"}, "batch.format: invalid value: use json or ndjson"),
        ("batch", {"size": 5, "key": 5}, "batch.key: invalid value: use text in quotes"),
        ("breaker", "off", "breaker: not a table: use one with failures, open, max_open, wait"),
        ("breaker", {"failures": 0}, "breaker.failures: invalid number 0: use a whole number of"),
        ("breaker", {"open": "soon"}, "breaker.open: invalid duration 'soon': use 250ms, 10s"),
        ("breaker", {"wiat": 1}, "breaker: unknown key 'wiat': did you mean wait?"),
        ("rate_headers", "x-left", "rate_headers: not a table: use { remaining = "),
        ("rate_headers", ["x-left"], "rate_headers: not a table: use { remaining = "),
        ("rate_headers", 0, "rate_headers: not a table: use { remaining = "),
        ("rate_headers", {}, "rate_headers: an empty table: use { remaining = "),
        (
            "rate_headers",
            {"resets": "x"},
            "rate_headers: unknown key 'resets': did you mean reset?",
        ),
        (
            "rate_headers",
            {"reset": 5},
            "rate_headers.reset: invalid header name 5: use one such as X-Quota-Left",
        ),
        (
            "rate_headers",
            {"remaining": None},
            "rate_headers.remaining: invalid header name null: use one such as X-Quota-Left",
        ),
        (
            "rate_headers",
            {"remaining": "x-left: s3cret"},
            "rate_headers.remaining: invalid header name 'x-left…': use one such as X-Quota-Left",
        ),
        (
            "rate_headers",
            {"remaining": "x-left", "reset": "X-Left"},
            "rate_headers: one header for both keys: name two",
        ),
        ("limit", {"min": 0}, "limit: invalid bounds: use a min of at least 1, and a max of"),
        ("limit", {"max": "9"}, "limit.max: invalid value: use a whole number"),
    ],
    ids=str,
)
def test_tables_reject(field: str, value: Any, message: str) -> None:
    """A message names the keys that lead to the mistake, and shows no secret."""
    with pytest.raises(ConfigError) as caught:
        Api("a", "https://a.test/", **{field: value})
    assert str(caught.value.within(api="a")).startswith(f"API 'a': {message}")
    assert "s3cret" not in str(caught.value)


def test_breaker_may_be_off_or_on() -> None:
    """False means that there is none, and true means the default one."""
    assert (parse_breaker(False), parse_breaker(True)) == (None, BreakerSettings())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, WELL_KNOWN),
        (False, None),
        ({"reset": "X-Refill-In"}, RateHeaders(reset=b"x-refill-in")),
        ({"remaining": "X-Left", "reset": "X-At"}, RateHeaders(b"x-left", b"x-at")),
    ],
)
def test_rate_headers_are_names_in_lower_case(value: object, expected: RateHeaders | None) -> None:
    """Either name may be left out; false means that only Retry-After counts."""
    assert parse_rate_headers(value) == expected


def test_a_parsed_breaker_holds_seconds() -> None:
    """Text is accepted in a ready-made struct, too."""
    written = BreakerSettings(open="2s")  # type: ignore[arg-type]  # as an untyped program may
    assert parse_breaker(written) == BreakerSettings(open=2.0)

"""APIs with placeholders for secrets: what is shown, and what is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from support.shells import printed

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.explain.placeholders import MaskedApi, mask_api
from tmux_fanout.core.explain.shell import Placeholders
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.http.oauth2 import parse_params
from tmux_fanout.core.records.parser import Record

ENV = {
    "HOST": "api.test",
    "PORT": "8443",
    "SCHEME": "https",
    "BASE": "https://api.test",
    "SLASHED": "https://api.test/v1/",
    "HOOK": "https://hooks.test/services/CANARY",
    "LOGIN": "https://me:CANARY@api.test",
    "SITE": "me:CANARY@api.test/x?key=CANARY",
    "P": "CANARY",
    "USER": "CANARY2",
    "PATHS": "/CANARY/",
    "TEMPLATE": "https://u:CANARY@api.test/a/{id}?token=CANARY",
    "ODD": "a|b",
    "HASH": "a#b",
    "ENCODED": "a%40b",
    "ACCENT": "é",
    "BRACES": "CANARY{id}",
    "AT": "CANARY@/?#:{}",
    "AND": "a&b=c",
    "NONE": "",
    "MY-VAR": "CANARY",
}
RECORD = Record(0, b'{"id": 7}', b'{"id": 7}')


def masked(**settings: Any) -> tuple[MaskedApi, Request, Placeholders]:
    """Return an API with placeholders, its request for a record, and the placeholders."""
    placeholders = Placeholders("abc")
    api = Api("x", method="GET", **settings)
    plan_run([api], RunSettings(), ENV)
    shown = mask_api(api, ENV, placeholders)
    request = plan_run([shown.api], RunSettings(), {}).apis[0].requests.build(RECORD)
    assert isinstance(request, Request)
    return shown, request, placeholders


@pytest.mark.parametrize(
    ("url", "shown", "user"),
    [
        ("http://api.test/{id}", "http://api.test/7", None),
        ("${SCHEME}://${HOST}:${PORT}/${P}", 'https://api.test:8443/"${P}"', None),
        ("${BASE}/{id}", "https://api.test/7", None),
        ("${BASE}:${PORT}/", "https://api.test:8443/", None),
        ("https://${HOST}${NONE}/", "https://api.test/", None),
        ("https://${HOST}?key=${P}{&id}", "'https://api.test/?key='\"${P}\"'&id=7'", None),
        ("https://api.test/?token=x&a=b", "'https://api.test/?token=***&a=b'", None),
        ("https://api.test/?token={id}", "'https://api.test/?token=7'", None),
        ("https://me:pw@api.test/", "https://api.test/", "'***:***'"),
        ("https://me:${P}@api.test/", "https://api.test/", 'me:"${P}"'),
        ("https://a%40b:${P}@api.test/", "https://api.test/", "'***:'\"${P}\""),
        ("https://${USER}@api.test/", "https://api.test/", '"${USER}":'),
        ("https://${USER}:${P}@${HOST}/", "https://api.test/", '"${USER}":"${P}"'),
        ("${HOOK}", '"${HOOK}"', None),
        ("${HOOK}/{id}{?id}", "\"${HOOK}\"'/7?id=7'", None),
        ("${LOGIN}:${PORT}/{id}", '"${LOGIN}":8443/7', None),
        ("https://${SITE}&a={id}", "https://\"${SITE}\"'&a=7'", None),
        ("https://me:pw@${HOST}${PATHS}{id}", "'https://***:***@api.test'\"${PATHS}\"7", None),
        ("${TEMPLATE}", '"${TEMPLATE}"', None),
        ("https://api.test/${BRACES}/{id}", 'https://api.test/"${BRACES}"/7', None),
        ("https://me:${AT}@api.test/", "https://api.test/", 'me:"${AT}"'),
        ("https://api.test/${MY-VAR}", "'https://api.test/***'", None),
    ],
)
def test_url(url: str, shown: str, user: str | None) -> None:
    """The origin is expanded, or hidden in its variable; the rest stays with its variables."""
    api, request, placeholders = masked(url=url)
    assert placeholders.quote(request.head.url) == shown
    assert (api.user and placeholders.quote(api.user)) == user
    assert "CANARY" not in repr((api.api.url, api.user, request))


@pytest.mark.parametrize(
    ("endpoint", "url", "shown"),
    [
        ("${BASE}", "/users/{id}", "https://api.test/users/7"),
        ("${SLASHED}", "users/{id}", '"${SLASHED%/}"/users/7'),
        ("https://api.test/${P}", "/${P}/{id}", 'https://api.test/"${P}"/"${P}"/7'),
        ("https://${HOST}${PATHS}", "", 'https://api.test"${PATHS%/}"'),
    ],
)
def test_endpoint(endpoint: str, url: str, shown: str) -> None:
    """A slash at the end of a base URL, even in its variable, is not repeated."""
    _, request, placeholders = masked(url=url, endpoints=[endpoint, "https://other.test"])
    assert placeholders.quote(request.head.url) == shown
    real = plan_run([Api("x", url, endpoints=[endpoint])], RunSettings(), ENV).apis[0]
    sent = real.requests.build(RECORD)
    assert isinstance(sent, Request)
    assert printed(f"printf %s {shown}", **_exported()) == sent.head.url.encode()


@pytest.mark.parametrize(
    ("settings", "user", "authorization"),
    [
        ({"auth": {"bearer": "${P}"}}, None, "'Bearer '\"${P}\""),
        ({"auth": {"bearer": "literal"}}, None, "'Bearer ***'"),
        ({"auth": {"basic": ["me", "${P}"]}}, 'me:"${P}"', None),
        ({"auth": {"basic": ["me", "pw"]}}, "'***:***'", None),
        ({"auth": {"basic": ["apikey", ""]}}, "'***:'", None),
        ({"headers": {"Authorization": "Token ${P}"}}, None, "'Token '\"${P}\""),
        ({"headers": {"authorization": "CANARY"}}, None, "'***'"),
    ],
)
def test_auth(settings: dict[str, Any], user: str | None, authorization: str | None) -> None:
    """Credentials are shown as written, not as they are sent."""
    api, request, placeholders = masked(url="https://api.test/", **settings)
    assert (api.user and placeholders.quote(api.user)) == user
    sent = {name.lower(): value for name, value in request.head.headers}
    assert ("authorization" in sent and placeholders.quote(sent["authorization"])) == (
        authorization or False
    )


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("X-Plain", "as it is ${P}", "'as it is '\"${P}\""),
        ("X-Api-Key", "CANARY", "'***'"),
        ("X-Api-Key", "CANARY ${P}", "'***'\"${P}\""),
        ("Authorization", "ApiKey ${P}", "'ApiKey '\"${P}\""),
        ("Proxy-Authorization", "Bearer CANARY", "'Bearer ***'"),
        ("Authorization", "CANARY CANARY", "'***'"),
        ("Cookie", "a=${P}; b=CANARY; CANARY", "a=\"${P}\"'; ***; ***'"),
    ],
)
def test_header(name: str, value: str, shown: str) -> None:
    """Parts that are certainly not secret stay, so that the command works."""
    _, request, placeholders = masked(url="https://api.test/", headers={name: value})
    assert placeholders.quote(dict(request.head.headers)[name]) == shown


def test_a_header_wins_over_userinfo() -> None:
    """The run does the same."""
    api, _, _ = masked(url="https://a:b@api.test/", headers={"AUTHORIZATION": "Bearer ${P}"})
    assert api.user is None


def test_oauth2_and_proxy() -> None:
    """Secrets of both are hidden, or left to the shell."""
    oauth2 = {
        "token_url": "https://id.test/token?key=CANARY",
        "client_id": "me",
        "client_secret": "${P}",
        "scope": "all",
        "params": {"audience": "https://me.test", "pin": "CANARY", "hint": "${P}"},
        "auth_method": "post",
    }
    url = "https://api.test/"
    api, _, placeholders = masked(
        url=url, auth={"oauth2": oauth2}, proxy="http://a:${P}@proxy.test:3128"
    )
    assert api.oauth2
    assert api.proxy
    assert placeholders.quote(api.oauth2.token_url) == "'https://id.test/token?key=***'"
    assert placeholders.quote(api.oauth2.client_secret) == '"${P}"'
    assert api.oauth2.auth_method == "post"
    assert [placeholders.quote(text) for _, text in parse_params(api.oauth2.params)] == [
        "https://me.test",
        "'***'",
        '"${P}"',
    ]
    assert placeholders.quote(api.proxy) == 'http://a:"${P}"@proxy.test:3128'


def test_digest_and_functions() -> None:
    """The first is left to curl; a function is named, and what is beside it is not shown."""
    api, _, placeholders = masked(url="https://api.test/", auth={"digest": ["me", "${P}"]})
    assert api.user
    assert (placeholders.quote(api.user), api.is_digest) == ('me:"${P}"', True)
    auth = {"call": "signing:sign", "key": "CANARY", "other": "${P}"}
    api, _, _ = masked(url="https://api.test/", auth=auth)
    assert (api.user, api.is_digest, api.signer) == (None, False, "signing:sign")
    assert "CANARY" not in str(msgspec.structs.asdict(api.api))


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"url": "https://api.test/${ODD}"}, "ODD is no part of a URL as it is: here it needs %XX"),
        (
            {"url": "https://api.test/${HASH}"},
            "HASH is no part of a URL as it is: here it needs %XX",
        ),
        ({"url": "https://x/${BRACES}"}, "BRACES is no part of a URL as it is: here it needs %XX"),
        ({"url": "https://x/?k=${AND}"}, "AND is no part of a URL as it is: here it needs %XX"),
        (
            {"endpoints": ["https://x"], "url": "/?k=${AND}"},
            "AND is no part of a URL as it is: here it needs %XX",
        ),
        (
            {"url": "https://me:${ENCODED}@api.test/"},
            "ENCODED has %XX in it: here it is needed without them",
        ),
        (
            {"url": "https://api.test/", "headers": {"X-A": "${ACCENT}"}},
            "ACCENT is not ASCII: header X-A needs it in Latin-1",
        ),
        (
            {"endpoints": ["https://api.test"], "url": "/${ODD}"},
            "ODD is no part of a URL as it is: here it needs %XX",
        ),
    ],
)
def test_warnings(settings: dict[str, Any], warning: str) -> None:
    """There is a warning where a variable's value is encoded before it is sent."""
    api, _, _ = masked(**settings)
    assert api.warnings == (warning,)


def _exported() -> dict[str, str]:
    return {name: value for name, value in ENV.items() if name.isidentifier()}

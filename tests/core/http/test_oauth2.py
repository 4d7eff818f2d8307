"""OAuth 2.0: the request for a token, and a token endpoint's responses."""

from __future__ import annotations

import base64
import math
from typing import Any

import msgspec
import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Origin, Response
from tmux_fanout.core.http.oauth2 import Token, read_token, secrets_in, token_request

CANARY = "c4n4ry"
NOW = 1000.0


def client(**changes: Any) -> OAuth2:
    good = {"token_url": "https://id.test/token", "client_id": "me", "client_secret": CANARY}
    return OAuth2(**{**good, **changes})


SECRETS = secrets_in(client())


def answer(status: int = 200, body: bytes | None = None, **fields: Any) -> Response:
    """Return a token response as in section 5.1, with changes; None omits a field."""
    good = {"access_token": CANARY, "token_type": "Bearer", "expires_in": 3600, **fields}
    kept = {name: value for name, value in good.items() if value is not None}
    return Response(status, [], msgspec.json.encode(kept) if body is None else body, 0)


def refusal(status: int, **fields: Any) -> Response:
    return Response(status, [], msgspec.json.encode(fields), 0)


def test_token_request_is_that_of_the_rfc() -> None:
    """It is a POST with the grant in a form, and the client in HTTP Basic."""
    request = token_request(client(token_url="https://id.test:8443/t?x=1#f", scope="a b&c"))
    assert request.head.method == "POST"
    assert request.head.origin == Origin("https", "id.test", 8443)
    assert request.head.target == "/t?x=1"
    assert request.body == b"grant_type=client_credentials&scope=a+b%26c"
    headers = dict(request.head.headers)
    assert headers["Host"] == "id.test:8443"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("scope", [None, ""])
def test_token_request_leaves_out_a_scope_that_is_none(scope: str | None) -> None:
    """An empty scope is invalid."""
    assert token_request(client(scope=scope)).body == b"grant_type=client_credentials"


def test_token_request_has_further_parameters() -> None:
    """Auth0 requires `audience`; RFC 8707 has a `resource` that may be repeated."""
    params = {"audience": "https://api.test/?a=b&c", "resource": ["x", "y"], "empty": ""}
    body = b"audience=https%3A%2F%2Fapi.test%2F%3Fa%3Db%26c&resource=x&resource=y&empty="
    given = token_request(client(scope="s", params=params)).body
    assert given == b"grant_type=client_credentials&scope=s&" + body


def test_token_request_can_have_the_client_in_its_body() -> None:
    """Section 2.3.1 allows that too, and some endpoints accept nothing else."""
    request = token_request(client(client_id="m:e", client_secret="a+b", auth_method="post"))
    assert request.body == b"grant_type=client_credentials&client_id=m%3Ae&client_secret=a%2Bb"
    assert "Authorization" not in dict(request.head.headers)


@pytest.mark.parametrize(
    "echo",
    [
        "p+ss word/{1}: is wrong",
        "p%2Bss+word%2F%7B1%7D",
        "p%2Bss%20word/%7B1%7D",
        "Basic bWU6cCUyQnNzK3dvcmQlMkYlN0IxJTdE",
        "Basic bWU6cCtzcyB3b3JkL3sxfQ==",
        "pass p+ss word/{1}, pass it",
        "p+ss word...",
        "password=hunter2-hunter2",
        "hunter2-hunter2hunter2-hunter2",
        "?key=q-u-e-r-y-k-e-y",
    ],
)
def test_no_message_shows_what_was_sent(echo: str) -> None:
    """Some endpoints repeat the request, encoded or cut, in their descriptions."""
    settings = client(
        token_url="https://id.test/?key=q-u-e-r-y-k-e-y&x=shown",
        client_secret="p+ss word/{1}",
        params={"password": "hunter2-hunter2", "audience": "https://api.test"},
    )
    with pytest.raises(TransportError) as caught:
        read_token(refusal(400, error="e", error_description=echo), NOW, secrets_in(settings))
    shown = caught.value.message
    assert "***" in shown
    for part in ("ss word", "ss+word", "ss%20word", "bWU6", "hunter", "e-r-y"):
        assert part not in shown
    public = "https://api.test for me is shown"
    with pytest.raises(TransportError, match=r"https://api\.test for me is shown"):
        read_token(refusal(400, error_description=public), NOW, secrets_in(settings))


@pytest.mark.parametrize(
    ("client_id", "secret", "pair"),
    [
        ("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw", "s6BhdRkqt3:7Fjfp0ZBr1KtDRbnfVdmIw"),
        ("a:b", "c:d", "a%3Ab:c%3Ad"),
        ("1 %&+£€", "p w", "1+%25%26%2B%C2%A3%E2%82%AC:p+w"),  # RFC 6749, appendix B
    ],
)
def test_token_request_encodes_id_and_secret_as_in_a_form(
    client_id: str, secret: str, pair: str
) -> None:
    """Section 2.3.1; otherwise a colon in the id would act as the separator."""
    request = token_request(client(client_id=client_id, client_secret=secret))
    kind, _, encoded = dict(request.head.headers)["Authorization"].partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(encoded).decode() == pair


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"token_url": f"ftp://id.test/{CANARY}"}, "token_url: not an http or https URL"),
        ({"token_url": f"id.test/{CANARY}"}, "token_url: not an http or https URL"),
        ({"token_url": f"https://id.test/ {CANARY}"}, "token_url: it holds a blank"),
        ({"token_url": f"https://u:{CANARY}@id.test/"}, "token_url: remove user and password"),
        ({"client_id": ""}, "client_id: it is empty"),
        ({"client_secret": ""}, "client_secret: it is empty"),
        ({"client_secret": f"{CANARY}\udcff"}, "client_secret: it is not valid UTF-8"),
        ({"scope": f"{CANARY}\udcff"}, "scope: it is not valid UTF-8"),
        ({"params": {"a": f"{CANARY}\udcff"}}, "params.a: it is not valid UTF-8"),
        ({"params": {"a": "${C4}"}}, "params.a: ${C4} is not set; export C4=..."),
    ],
)
def test_token_request_refuses_settings_without_showing_them(
    changes: dict[str, Any], words: str
) -> None:
    """The error comes with the plan, and names the key and the mistake."""
    auth = {"oauth2": msgspec.structs.asdict(client(**changes))}
    with pytest.raises(ConfigError) as caught:
        plan_run([Api("a", "http://a.test", auth=auth)], RunSettings(), {})
    assert str(caught.value).startswith(f"API 'a': auth.oauth2.{words}")
    assert CANARY not in str(caught.value)


def test_token_request_takes_braces_as_they_are() -> None:
    """A token URL is not a template."""
    request = token_request(client(token_url="https://id.test/{realm}"))
    assert request.head.target == "/%7Brealm%7D"


def test_a_variable_in_a_token_url_keeps_to_its_part() -> None:
    """As in any other URL."""
    oauth2 = msgspec.structs.asdict(client(token_url="https://id.test/${T}?key=${T}&z=1"))
    api = Api("a", "http://a.test", auth={"oauth2": oauth2})
    [planned] = plan_run([api], RunSettings(), {"T": "{a}#b&c"}).apis
    assert isinstance(planned.auths[0], OAuth2)
    target = token_request(planned.auths[0]).head.target
    assert target == "/%7Ba%7D%23b&c?key=%7Ba%7D%23b%26c&z=1"


def test_plan_run_wants_one_authorization() -> None:
    """A user in the URL beside `auth` is a mistake, whichever was meant."""
    api = Api("a", f"http://u:{CANARY}@a.test", auth={"bearer": CANARY})
    with pytest.raises(ConfigError, match="auth: a user in the URL beside auth") as caught:
        plan_run([api], RunSettings(), {})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("expires_in", "due", "expires"),
    [
        (3600, 3540, 3600),
        (600, 540, 600),
        (100, 90, 100),
        (1, 0.9, 1),
        ("3600", 3540, 3600),
        (3600.0, 3540, 3600),
        (None, math.inf, math.inf),
        (0, math.inf, math.inf),
        (-1, math.inf, math.inf),
        (True, math.inf, math.inf),
        ("soon", math.inf, math.inf),
        ("nan", math.inf, math.inf),
        ("inf", math.inf, math.inf),
        ([], math.inf, math.inf),
        (1e308, 1e308, 1e308),
    ],
)
def test_read_token_is_due_before_it_expires(expires_in: Any, due: float, expires: float) -> None:
    """By a minute or a tenth of its lifetime; if that is unknown, a 401 tells."""
    token = read_token(answer(expires_in=expires_in), NOW, SECRETS)
    assert token.due == pytest.approx(NOW + due)
    assert token.expires == NOW + expires


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_read_token_gives_a_header_value(kind: str) -> None:
    """The token type is case-insensitive."""
    assert read_token(answer(token_type=kind), NOW, SECRETS).authorization == f"Bearer {CANARY}"


NO_TOKEN = "token endpoint: its response holds no access_token; check token_url"


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (answer(body=b""), NO_TOKEN),
        (answer(body=b"<html>" + CANARY.encode()), NO_TOKEN),
        (answer(body=b"[]"), NO_TOKEN),
        (answer(body=b'"\xff"'), NO_TOKEN),
        (answer(body=b"[" * 100_000), NO_TOKEN),
        (answer(access_token=None), NO_TOKEN),
        (
            refusal(200, error="bad_code", error_description="it has expired"),
            "token endpoint: its response holds no access_token: bad_code (it has expired); "
            "check token_url",
        ),
        (answer(access_token=1), NO_TOKEN),
        (answer(access_token=""), NO_TOKEN),
        (answer(access_token=f"{CANARY}\r\nX: 1"), NO_TOKEN),
        (answer(access_token=f"{CANARY} "), NO_TOKEN),
        (answer(access_token=f"{CANARY}é"), NO_TOKEN),
        (
            answer(token_type="mac"),
            "token endpoint: the token_type in its response is not Bearer; no other can be used",
        ),
        (
            answer(token_type=None),
            "token endpoint: the token_type in its response is not Bearer; no other can be used",
        ),
    ],
)
def test_read_token_refuses_what_is_no_token(response: Response, message: str) -> None:
    """The error quotes no token, and is final."""
    with pytest.raises(TransportError) as caught:
        read_token(response, NOW, SECRETS)
    failure = caught.value
    assert (failure.kind, failure.sent, failure.transient) == ("protocol", False, False)
    assert failure.message == message


@pytest.mark.parametrize(
    ("response", "message", "transient"),
    [
        (
            refusal(401, error="invalid_client", error_description="Unknown client"),
            "HTTP 401 invalid_client (Unknown client); check client_id, client_secret and "
            "auth_method",
            False,
        ),
        (
            refusal(403, error="access_denied", error_description=f"no 'me:{CANARY}' here\r\n\x1b"),
            "HTTP 403 access_denied (no 'me:***' here\\x0d\\x0a\\x1b)",
            False,
        ),
        (refusal(400, error_description="no audience"), "HTTP 400 no audience", False),
        (refusal(400, error="x" * 99, error_description=5), f"HTTP 400 {'x' * 60}…", False),
        (
            refusal(400, error="e", error_description="long " * 9999),
            f"HTTP 400 e ({'long ' * 60}…)",
            False,
        ),
        (refusal(400, error="invalid_scope"), "HTTP 400 invalid_scope; check scope", False),
        (
            refusal(400, error="unauthorized_client"),
            "HTTP 400 unauthorized_client; this client may not use the grant client_credentials",
            False,
        ),
        (refusal(400, error=CANARY), "HTTP 400 ***", False),
        (refusal(400, error=[CANARY]), "HTTP 400", False),
        (refusal(404), "HTTP 404", False),
        (answer(302), "HTTP 302", False),
        (answer(204, b""), "HTTP 204", False),
        (refusal(429), "HTTP 429", True),
        (refusal(500), "HTTP 500", True),
        (refusal(503), "HTTP 503", True),
    ],
)
def test_read_token_tells_why_it_was_refused(
    response: Response, message: str, transient: bool
) -> None:
    """Code and description are shown, on one line of limited length, without secrets in them."""
    with pytest.raises(TransportError) as caught:
        read_token(response, NOW, SECRETS)
    failure = caught.value
    assert (failure.kind, failure.sent, failure.transient) == ("status", False, transient)
    assert failure.message == f"token endpoint: {message}"


@pytest.mark.parametrize(
    ("expires", "now", "due"), [(100, 90, 95), (100, 40, 70), (100, 99, 100), (100, 99.9, 100)]
)
def test_token_postponed_comes_due_half_way_to_its_end(
    expires: float, now: float, due: float
) -> None:
    """Not at once, so that not every call tries, and not after it expires."""
    assert Token("Bearer x", 0, expires).postponed(now).due == pytest.approx(due)


def test_reprs_show_nothing_secret() -> None:
    """Neither a client's nor a token's."""
    assert CANARY not in repr(client()) + repr(read_token(answer(), NOW, SECRETS))

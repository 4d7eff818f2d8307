"""Plans: precedence where settings overlap, the prepared request, and variables."""

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout import __version__
from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.rules import rules_of
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.auth import Signer
from tmux_fanout.core.http.messages import Origin, Request, RequestHead
from tmux_fanout.core.http.urls import expand_variables
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.records.parser import Record

URL = "https://api.example.com/v1"
CANARY = "s3cret"


def plan_one(api: Api, settings: RunSettings | None = None) -> ApiPlan:
    [plan] = plan_run([api], settings or RunSettings(), {}).apis
    return plan


def headers_of(api: Api) -> dict[str, str]:
    sent = plan_one(api).requests.headers
    names = [name.lower() for name, _ in sent]
    assert len(names) == len(set(names))
    return dict(sent)


def test_plan_run_fills_in_the_documented_defaults() -> None:
    """An API with nothing but a URL gets the defaults in the command's help."""
    plan = plan_run([Api("a", URL)], RunSettings(), {})
    [api] = plan.apis
    assert (plan.window, plan.settings.window_bytes, plan.settings.max_line) == (
        1024,
        64 << 20,
        16 << 20,
    )
    assert (plan.chunk_size, plan.settings.chunk_linger) == (100, 0)
    assert (plan.settings.deadline, plan.settings.drain_timeout) == (None, 30)
    assert (plan.settings.total_limit, plan.settings.unordered) == (None, False)
    assert (api.name, api.limit, api.transport, api.max_response) == ("a", 64, "native", 16 << 20)
    assert (api.connect_timeout, api.attempt_timeout) == (10, 30)
    assert api.retry == RetryPolicy(retries=2, timeout=60, method="POST", idempotent=False)


@pytest.mark.parametrize(
    ("field", "own", "run", "default"),
    [
        ("limit", 3, 5, 64),
        ("connect_timeout", "1s", "2s", 10.0),
        ("attempt_timeout", "1s", "2s", 30.0),
        ("max_response", "1KiB", "2KiB", 16 << 20),
        ("transport", "native", "httpx", "native"),
        ("retries", 0, 5, 2),
        ("timeout", "1s", "2s", 60.0),
        ("idempotent", False, True, False),
    ],
)
def test_plan_run_prefers_the_api_then_the_run_then_the_default(
    field: str, own: Any, run: Any, default: Any
) -> None:
    """A value of the API wins, even 0 or false; then the run's, then the default."""

    def resolved(api: dict[str, Any], settings: dict[str, Any]) -> Any:
        plan = plan_one(Api("a", URL, **api), RunSettings(**settings))
        return getattr(plan.retry if hasattr(plan.retry, field) else plan, field)

    parse = rules_of(Api)[field].parse
    assert resolved({field: own}, {field: run}) == parse(own)
    assert resolved({}, {field: run}) == parse(run) != default
    assert resolved({}, {}) == default


@pytest.mark.parametrize(
    ("method", "is_idempotent", "has_body"),
    [
        ("GET", True, False),
        ("get", True, False),
        ("HEAD", True, False),
        ("OPTIONS", True, False),
        ("TRACE", True, False),
        ("DELETE", True, False),
        ("PUT", True, True),
        ("POST", False, True),
        ("PATCH", False, True),
        ("QUERY", False, True),
    ],
)
def test_plan_run_derives_body_and_idempotence_from_the_method(
    method: str, is_idempotent: bool, has_body: bool
) -> None:
    """The method decides whether a request may be repeated and carries the record."""
    plan = plan_one(Api("a", URL, method))
    assert (plan.requests.method, plan.retry.method) == (method.upper(), method.upper())
    assert plan.retry.idempotent == is_idempotent
    body = b'{"id": 1.00}' if has_body else None
    request = plan.requests.build(Record(0, b"raw", b'{"id": 1.00}'))
    assert isinstance(request, Request)
    assert request.body == body
    assert ("Content-Type" in dict(request.head.headers)) == has_body


@pytest.mark.parametrize(
    ("window", "limits", "expected", "stretched"),
    [
        (None, [None], 1024, 8192),
        (None, [256], 1024, 8192),
        (None, [1, 257], 1028, 8192),
        (None, [1000, 1], 4000, 8192),
        (None, [5000], 20_000, 20_000),
        (7, [1000], 7, 7),
        (1, [None], 1, 1),
        (1024, [None], 1024, 1024),
    ],
)
def test_plan_run_window_holds_four_times_the_largest_limit(
    window: int | None, limits: list[int | None], expected: int, stretched: int
) -> None:
    """An open window never idles a limit; one that is set stays as it is."""
    apis = [Api(str(number), URL, limit=limit) for number, limit in enumerate(limits)]
    plan = plan_run(apis, RunSettings(window=window), {})
    assert (plan.window, plan.stretched_window) == (expected, stretched)


def test_plan_run_window_is_not_stretched_without_order() -> None:
    """With `unordered` no record waits behind another."""
    assert plan_run([Api("a", URL)], RunSettings(unordered=True), {}).stretched_window == 1024


def head_of(api: Api) -> RequestHead:
    request = plan_one(api).requests.build(Record(0, b"{}", b"{}"))
    assert isinstance(request, Request)
    return request.head


def test_plan_run_keeps_the_order_of_apis() -> None:
    """APIs stay in configuration order."""
    plan = plan_run([Api(name, URL) for name in "zax"], RunSettings(), {})
    assert [api.name for api in plan.apis] == ["z", "a", "x"]


def test_plan_run_prepares_the_whole_head() -> None:
    """The head is what goes over the wire, except for the length of the body."""
    head = head_of(Api("a", "http://h:8080/p?q=1", headers={"X-Key": "k"}))
    assert (head.method, head.origin, head.target) == ("POST", Origin("http", "h", 8080), "/p?q=1")
    assert head.url == "http://h:8080/p?q=1"
    assert head.headers == (
        ("Host", "h:8080"),
        ("User-Agent", f"tmux-fanout/{__version__}"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Content-Type", "application/json"),
        ("X-Key", "k"),
    )


@pytest.mark.parametrize(
    "name", ["Host", "user-agent", "ACCEPT", "Accept-Encoding", "content-type", "authorization"]
)
def test_plan_run_given_headers_replace_the_defaults(name: str) -> None:
    """A configured header is sent once, in its own spelling."""
    headers = headers_of(Api("a", "https://user:pw@h/", headers={name: "mine"}))
    assert headers[name] == "mine"


def test_plan_run_userinfo_becomes_basic_authorization() -> None:
    """Credentials of a URL go into the header, decoded, and stay out of the request line."""
    api = Api("a", "https://us%C3%A9r:p%40:ss@h/x")
    head = head_of(api)
    scheme, _, token = headers_of(api)["Authorization"].partition(" ")
    assert (scheme, b64decode(token).decode()) == ("Basic", "usér:p@:ss")
    assert head.url == "https://h/x"


@pytest.mark.parametrize(
    ("apis", "message"),
    [
        ([], "no API to call: use at least one Api"),
        (
            [Api("a", URL), Api("b", URL), Api("a", URL)],
            "two APIs are called 'a': give each its own name",
        ),
        ([Api("a", "ftp://h/")], "API 'a': url: "),
        (
            [Api("a", "https://h/{id")],
            "API 'a': url: ",
        ),
        ([Api("a", "https://h{id}")], "API 'a': url: a host cannot come from a record"),
        ([Api("a", "https://x/", endpoints=["https://h/"])], "API 'a': url: a whole URL beside e"),
        ([Api("a", endpoints=["https://h/?q"])], "API 'a': endpoints: endpoint 1: invalid base "),
        (
            [Api("a", URL, headers={"Authorization": "x"}, auth={"bearer": CANARY})],
            "API 'a': auth: an Authorization header beside auth: leave one of the two out",
        ),
        (
            [Api("a", "https://u@h/", auth={"bearer": CANARY})],
            "API 'a': auth: a user in the URL beside auth: leave one of the two out",
        ),
        ([Api("a", URL, hedge="p95")], "API 'a': hedge: a second POST may be applied twice: add "),
        ([Api("a", "${NO_URL}")], "API 'a': url: ${NO_URL} is not set"),
        (
            [Api("a", URL, headers={"X": "${NO}"})],
            "API 'a': headers.X: ${NO} is not set",
        ),
        ([Api("a", URL, headers={"X": "${BAD}"})], "API 'a': headers.X: the value has char"),
    ],
    ids=[
        "none",
        "twice",
        "scheme",
        "template",
        "host-template",
        "url-and-endpoints",
        "base-url",
        "header-and-auth",
        "user-and-auth",
        "hedge",
        "url-variable",
        "header-variable",
        "header-value",
    ],
)
def test_plan_run_rejects_with_the_fix(apis: list[Api], message: str) -> None:
    """The message names the API and what to use instead."""
    with pytest.raises(ConfigError) as info:
        plan_run(apis, RunSettings(), {"BAD": f"{CANARY}\r\nEvil: 1"})
    assert str(info.value).startswith(message)
    assert CANARY not in str(info.value)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("Bearer ${TOKEN}", "Bearer t0k"),
        ("${TOKEN}${TOKEN}", "t0kt0k"),
        ("${EMPTY}", ""),
        ("$TOKEN $ {TOKEN} $$ ${", "$TOKEN $ {TOKEN} $$ ${"),
        ("$${TOKEN}", "$t0k"),
        ("${NESTED}", "${TOKEN}"),
        (r"${BACKSLASH}", r"\1\g<0>"),
    ],
)
def test_expand_variables_takes_values_from_the_environment(text: str, expanded: str) -> None:
    """Only the braced form counts, and values are not expanded again."""
    env = {"TOKEN": "t0k", "EMPTY": "", "NESTED": "${TOKEN}", "BACKSLASH": r"\1\g<0>"}
    assert expand_variables(text, env) == expanded


@pytest.mark.parametrize(
    "name", ["", " ", "A B", "A-B", "1A", f"x:{CANARY}", "é", "\x1b[2J", "a\n"]
)
def test_expand_variables_shows_no_text_that_is_not_a_variables_name(name: str) -> None:
    """A brace in a secret must not bring the secret into a message."""
    with pytest.raises(ConfigError, match="the name of a variable") as info:
        expand_variables(f"Bearer ${{{name}}}", {})
    assert "${...}" in str(info.value)
    assert CANARY not in str(info.value)


junk = st.text(max_size=6) | st.sampled_from(
    ["\n", "\0", "{", "${X}", "${", "[", "@", "é", "\ud800"]
)


@given(
    st.sampled_from(["https", "http", "ftp", "", "HTTPS", "${SCHEME}"]),
    st.sampled_from(["h", "h:99999", "[::1", "exa mple", "", "${HOST}", "h:${PORT}", "${NO}"]),
    st.lists(junk, min_size=8, max_size=8),
)
def test_plan_run_config_errors_never_show_a_secret(scheme: str, host: str, odd: list[str]) -> None:
    """Whatever is wrong, no message shows a header value, userinfo, query or variable."""
    a, b, c, d, e, f, g, h = odd
    url = f"{scheme}://{a}{CANARY}{b}:{c}{CANARY}@{host}/{d}?{e}{CANARY}{f}"
    env = {"SCHEME": f"x{CANARY}", "HOST": f"{g}{CANARY}", "PORT": CANARY, "X": f"{h}{CANARY}"}
    headers = {"Authorization": f"Bearer {g}{CANARY}{h}", "X-Key": "${X}"}
    message = ""
    try:
        plan_run([Api("a", url, headers=headers)], RunSettings(), env)
    except ConfigError as exc:
        message = str(exc)
    assert CANARY not in message
    assert "\n" not in message


def test_a_host_header_cannot_come_from_a_record() -> None:
    """The value of a variable is not searched for fields."""
    with pytest.raises(ConfigError, match="a host cannot come from a record"):
        plan_one(Api("a", URL, headers={"host": "{h}"}))
    api = Api("a", URL, headers={"X": "${V} {id}"})
    [plan] = plan_run([api], RunSettings(), {"V": "s{x}t"}).apis
    request = plan.requests.build(Record(0, b"", b'{"id":7}'))
    assert isinstance(request, Request)
    assert dict(request.head.headers)["X"] == "s{x}t 7"


def test_idempotency_key_is_the_same_for_a_record_and_no_other() -> None:
    """The key depends on record, index and API, and makes requests idempotent."""
    plan = plan_one(Api("a", URL, idempotency_key=True))
    assert plan.retry.idempotent

    def key(plan: ApiPlan, index: int, text: bytes) -> str:
        request = plan.requests.build(Record(index, text, text))
        assert isinstance(request, Request)
        return dict(request.head.headers)["Idempotency-Key"]

    other = plan_one(Api("b", URL, idempotency_key=True))
    keys = [key(plan, 0, b"1"), key(plan, 1, b"1"), key(plan, 0, b"2"), key(other, 0, b"1")]
    assert len(set(keys)) == 4
    assert key(plan_one(Api("a", URL, idempotency_key=True)), 0, b"1") == keys[0]
    assert all(text[0] == text[-1] == '"' for text in keys)


def limit_of(*limits: int | None, run: int | None = None, **api: Any) -> int:
    urls = [{"url": "http://h/", **({"limit": limit} if limit else {})} for limit in limits]
    return plan_run([Api("a", endpoints=urls, **api)], RunSettings(limit=run), {}).apis[0].limit


def test_limits_of_all_endpoints_add_up_to_that_of_the_api() -> None:
    """If one has none, or the API or the run sets a limit, that is not so."""
    assert limit_of(100, 20) == 120
    assert limit_of(7) == 7
    assert limit_of(100, None) == 64
    assert limit_of(100, 20, limit=8) == 8
    assert limit_of(100, 20, run=30) == 30


def test_endpoints_of_one_origin_are_told_apart_by_number() -> None:
    """Messages name the others by their origin alone."""
    urls: list[Any] = [
        "https://a.test/x",
        "https://b.test",
        {"url": "https://a.test/y", "weight": 3},
    ]
    [plan] = plan_run([Api("a", endpoints=urls)], RunSettings(), {}).apis
    assert [(each.name, each.weight) for each in plan.endpoints] == [
        ("https://a.test (endpoint 1)", 1.0),
        ("https://b.test", 1.0),
        ("https://a.test (endpoint 3)", 3.0),
    ]


def test_credentials_of_an_endpoint_replace_those_of_the_api() -> None:
    """A header of the API gives way to `auth` of an endpoint, and the other way round."""
    urls: list[Any] = [
        {"url": "http://a/", "auth": {"bearer": "one"}},
        {"url": "http://b/", "headers": {"authorization": "Token two"}},
        "http://c/",
    ]
    ways: list[dict[str, Any]] = [
        {"headers": {"Authorization": "Bearer api"}},
        {"auth": {"bearer": "api"}},
    ]
    for own in ways:
        [plan] = plan_run([Api("a", endpoints=urls, **own)], RunSettings(), {}).apis
        values = [
            [value for name, value in each.headers if name.lower() == "authorization"]
            for each in plan.endpoints
        ]
        assert values == [["Bearer one"], ["Token two"], ["Bearer api"]]
        assert "Bearer" not in repr(plan)


@pytest.mark.parametrize(
    ("template", "record", "key"),
    [
        ("{event_id}", b'{"event_id":"e-1"}', "e-1"),
        ("{event_id}", b'{"event_id":1.50}', "1.50"),
        ("o:{order.id}/{n}", b'{"order":{"id":7},"n":""}', "o:7/"),
        ("${V}-{value}", b"3", "{x}-3"),
    ],
)
def test_idempotency_key_from_a_template(template: str, record: bytes, key: str) -> None:
    """The key is the expanded template, wherever the record stands and whichever API gets it."""
    for name, index in (("a", 0), ("b", 5)):
        api = Api(name, URL, idempotency_key=template)
        [plan] = plan_run([api], RunSettings(), {"V": "{x}"}).apis
        assert plan.retry.idempotent
        request = plan.requests.build(Record(index, record, record))
        assert isinstance(request, Request)
        assert dict(request.head.headers)["Idempotency-Key"] == key


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"{}", "the record has no field id"),
        (b'{"id":null}', "the record has no field id: it is null"),
        (b'{"id":[1]}', "the field id is a list, where text or a number is needed"),
        (b'{"id":""}', "header Idempotency-Key: id would make an empty key"),
        (b'{"id":" \\t"}', "header Idempotency-Key: id would make an empty key"),
        (b'{"id":"a\\nb"}', "header Idempotency-Key: a field has characters"),
    ],
)
def test_a_record_without_an_idempotency_key_is_not_sent(record: bytes, why: str) -> None:
    """A key that is missing, empty or unsendable fails its record."""
    plan = plan_one(Api("a", URL, idempotency_key="k{id}"))
    error = plan.requests.build(Record(0, record, record))
    assert isinstance(error, ErrorInfo)
    assert error.kind == "template"
    assert why in error.message


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"idempotency_key": ""}, "a key without a field"),
        ({"idempotency_key": "${ID}"}, "a key without a field"),
        ({"idempotency_key": "{event|id}"}, "a key without a field"),
        ({"idempotency_key": 1}, "use true, or text with a {field}"),
        ({"idempotency_key": ["{id}"]}, "use true, or text with a {field}"),
        ({"idempotency_key": "{id}\n"}, "idempotency_key: the value has characters"),
        ({"idempotency_key": "{id}${NONE}"}, "idempotency_key: "),
        ({"idempotency_key": "{id}", "batch": {"size": 2}}, "combined with idempotency_key"),
        ({"idempotency_key": True, "headers": {"idempotency-key": "1"}}, "leave one of the two"),
        ({"idempotency_key": "{id}", "headers": {"Idempotency-Key": "{n}"}}, "leave one of the"),
    ],
)
def test_idempotency_keys_that_cannot_work(settings: dict[str, Any], why: str) -> None:
    """One line names the key, and says what to write instead."""
    with pytest.raises(ConfigError) as info:
        plan_one(Api("a", URL, **settings))
    assert why in str(info.value)


@pytest.mark.parametrize(
    ("settings", "credentials"),
    [
        ({"auth": {"bearer": "x"}}, "auth.bearer"),
        ({"auth": {"basic": ["me", "x"]}, "headers": {"apikey": "x"}}, "auth.basic"),
        (
            {
                "auth": {
                    "oauth2": {"token_url": "https://h/", "client_id": "a", "client_secret": "x"}
                }
            },
            "auth.oauth2",
        ),
        ({"auth": {"digest": ["me", "x"]}}, "auth.digest"),
        ({"auth": {"call": "a:b"}, "headers": {"Authorization": "x"}}, "auth.call"),
        ({"headers": {"Accept": "x", "X-Api-Key": "x"}}, "header X-Api-Key"),
        ({"headers": {"Authorization": "Bearer {token}"}}, "header Authorization"),
        ({"url": "https://me:x@h/"}, "url"),
        ({"url": "https://h/?key=x"}, "url"),
        ({"url": "https://h/?lang=x"}, ""),
        ({"url": "", "endpoints": [{"url": "https://h/", "auth": {"bearer": "x"}}]}, "auth.bearer"),
    ],
)
def test_setting_with_the_credentials_is_known(settings: dict[str, Any], credentials: str) -> None:
    """So that messages can name it."""
    api = Api("a", **{"url": "https://h/", **settings})
    assert plan_run([api], RunSettings(), {}).apis[0].credentials == credentials


def test_arguments_of_a_function_have_their_variables() -> None:
    """In texts, wherever they are; the name of the function and other values stay."""
    auth = {
        "call": "a:b",
        "key": "${K}",
        "more": {"deep": ["x-${K}", 5]},
        "flag": True,
        "object": object,
    }
    [planned] = (
        plan_run([Api("a", "https://h/", auth=auth)], RunSettings(), {"K": "k"}).apis[0].auths
    )
    assert isinstance(planned, Signer)
    assert planned.function == "a:b"
    assert planned.arguments == {
        "key": "k",
        "more": {"deep": ["x-k", 5]},
        "flag": True,
        "object": object,
    }


@pytest.mark.parametrize("form", ["basic", "digest"])
@pytest.mark.parametrize("pair", [["${ODD}", "x"], ["x", "${ODD}"]])
def test_credentials_that_are_not_utf8(form: str, pair: list[str]) -> None:
    """A variable of the environment may hold any bytes."""
    with pytest.raises(ConfigError) as info:
        plan_run([Api("a", "https://h/", auth={form: pair})], RunSettings(), {"ODD": "\udcff"})
    assert str(info.value) == f"API 'a': auth.{form}: it is not valid UTF-8"

"""Requests from records, and responses into outcomes."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.builder import RequestBuilder, Skipped
from tmux_fanout.core.requests.response_reader import is_nothing, parse_ok_status

LINE = (
    b'{"id": 1.0, "message": "say \\"hi\\"", "tags": ["a", "b"], "bad": "x\\r\\ny", "big": 1e999}'
)


def plan(env: dict[str, str] | None = None, **settings: Any) -> ApiPlan:
    api = Api("a", **{"url": "https://h/v1", **settings})
    return plan_run([api], RunSettings(), env or {}).apis[0]


def build(**settings: Any) -> Request | Skipped | ErrorInfo:
    return plan(**settings).requests.build(Record(0, LINE, LINE))


@pytest.mark.parametrize(
    ("settings", "body"),
    [
        ({}, LINE),
        ({"method": "GET"}, None),
        ({"method": "GET", "body": "id"}, b"1.0"),
        ({"body": "{text: message}"}, b'{"text":"say \\"hi\\""}'),
        ({"body": "message", "body_format": "raw"}, b'say "hi"'),
        ({"body": "{q: message, tag: tags}", "body_format": "form"}, b"q=say+%22hi%22&tag=a&tag=b"),
    ],
    ids=str,
)
def test_body_is_built_as_configured(settings: dict[str, Any], body: bytes | None) -> None:
    """The body is the record, or what the expression finds, in the configured format."""
    request = build(**settings)
    assert isinstance(request, Request)
    assert request.body == body


@pytest.mark.parametrize(
    ("body_format", "content_type"),
    [
        ("json", "application/json"),
        ("raw", "text/plain; charset=utf-8"),
        ("form", "application/x-www-form-urlencoded"),
        ("multipart", "multipart/form-data"),  # and a boundary, once it is sent
    ],
)
def test_content_type_goes_with_the_format(body_format: str, content_type: str) -> None:
    """Each format has its Content-Type, unless a configured header replaces it."""
    request = build(body_format=body_format, body="{m: message}")
    assert isinstance(request, Request)
    assert dict(request.head.headers)["Content-Type"] == content_type


def test_headers_are_filled_from_record_and_environment() -> None:
    """`{field}` comes from the record, `${VAR}` from the environment."""
    headers = {"X-Id": "no-{id}", "Authorization": "Bearer ${TOKEN}", "X-Json": '{"a": 1}'}
    made = plan({"TOKEN": "{id}"}, headers=headers).requests.build(Record(0, LINE, LINE))
    assert isinstance(made, Request)
    sent = dict(made.head.headers)
    assert sent["X-Id"] == "no-1.0"
    assert sent["Authorization"] == "Bearer {id}"
    assert sent["X-Json"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "https://h/{user.id}"}, "the record has no field user.id"),
        ({"body": "{x: usr}"}, "the record has no field usr"),
        ({"headers": {"X": "{usr}"}}, "the record has no field usr"),
        (
            {"headers": {"X": "{tags}"}},
            "the field tags is a list, where text or a number is needed",
        ),
        ({"headers": {"X": "{bad}"}}, "header X: a field has characters that no header can hold"),
        ({"body": "length(id)"}, "body: length() takes text, a list or an object, not a number"),
        ({"body": "message", "body_format": "form"}, "body_format form: the body is not an object"),
        ({"body": "message", "body_format": "multipart"}, "body_format multipart: the body is not"),
    ],
    ids=str,
)
def test_unsuitable_record_is_a_template_error(settings: dict[str, Any], message: str) -> None:
    """A record that lacks a field fails that call, and the message names the field."""
    error = build(**settings)
    assert isinstance(error, ErrorInfo)
    assert error.kind == "template"
    assert error.message.startswith(message)


NESTED = b'{"user":{"id":null,"name":"x","tags":["a"]},"n":4,"items":[{"sku":1},{"s":2}],"no":null}'


@pytest.mark.parametrize(
    ("name", "expression", "why"),
    [
        ("usr", "usr", ""),
        ("usr.id", "usr.id", ": there is no usr"),
        ("user.nick", "user.nick", ": user has no nick"),
        ("user.id.x", "user.id.x", ": user.id is null"),
        ("user.name.x", "user.name.x", ": user.name is text"),
        ("n.x", "n.x", ": n is a number"),
        ("items.sku", "items.sku", ": items is a list"),
        ("no.x", "no.x", ": no is null"),
        ("user.tags.1", "user.tags[1]", ": user.tags has 1 item"),
        ("items.2.sku", "items[2].sku", ": items has 2 items"),
    ],
)
def test_missing_path_is_described_alike_everywhere(name: str, expression: str, why: str) -> None:
    """URL, header, key and body name the path, and the part of it that is missing."""
    for settings in (
        {"url": f"https://h/{{{name}}}"},
        {"headers": {"X": f"{{{name}}}"}},
        {"idempotency_key": f"{{{name}}}"},
    ):
        error = plan(**settings).requests.build(Record(0, NESTED, NESTED))
        assert error == ErrorInfo("template", f"the record has no field {name}{why}")
    for body in (expression, f"{{x: [{expression}]}}", f"to_string({expression})"):
        error = plan(body=body).requests.build(Record(0, NESTED, NESTED))
        assert error == ErrorInfo("template", f"the record has no field {expression}{why}")


@pytest.mark.parametrize(
    ("settings", "line", "message"),
    [
        ({"headers": {"X": "{user.id}"}}, NESTED, "user.id: it is null"),
        ({"url": "https://h/{id}"}, b'"a"', "id: the record is text, which is called {value}"),
        ({"body": "{a: id}"}, b"4", "id: the record is a number, which is called @"),
        ({"body": "id"}, b"[1]", "id: the record is a list, which is called @"),
        ({"body": "[0].id"}, b"[1]", "[0].id: [0] is a number"),
        ({"body": "items[*].sku"}, NESTED, "items[*].sku"),
        ({"body": "items[].s.t"}, NESTED, "items[].s.t: there is no s"),
        ({"body": "user[*]"}, NESTED, "user[*]: there is no list"),
        ({"body": "user | name.x"}, NESTED, "name.x: name is text"),
        ({"body": "n | x"}, NESTED, "x: it is looked for in a number"),
        (
            {"body": '{model: "small"}'},
            NESTED,
            "small: \"small\" in double quotes is a field; for text write 'small'",
        ),
    ],
)
def test_odd_paths_are_described_as_well(
    settings: dict[str, Any], line: bytes, message: str
) -> None:
    """The message says what is there instead."""
    error = plan(**settings).requests.build(Record(0, line, line))
    assert error == ErrorInfo("template", f"the record has no field {message}")


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b'{"a":"1","b":"2"}', {"X-A": "1", "X-B": "no-2/1"}),
        (b'{"a":"1"}', {"X-A": "1", "X-B": "no-/1"}),
        (b'{"b":"2","a":null}', {"X-B": "no-2/"}),
        (b"{}", {}),
    ],
)
def test_header_without_any_of_its_optional_fields_is_not_sent(
    line: bytes, sent: dict[str, str]
) -> None:
    """A field whose name ends in a question mark may be missing, or null."""
    builder = plan(headers={"X-A": "{a?}", "X-B": "no-{b?}/{a?}"}).requests
    request = builder.build(Record(0, line, line))
    assert isinstance(request, Request)
    assert {n: v for n, v in request.head.headers if n.startswith("X-")} == sent


def test_idempotency_key_without_any_of_its_fields_is_an_error() -> None:
    """Optional fields may leave a part of the key out, but not all of it."""
    builder = plan(idempotency_key="{a?}{b?}").requests
    request = builder.build(Record(0, b'{"b":1}', b'{"b":1}'))
    assert isinstance(request, Request)
    assert dict(request.head.headers)["Idempotency-Key"] == "1"
    error = builder.build(Record(0, b"{}", b"{}"))
    assert error == ErrorInfo("template", "header Idempotency-Key: a and b would make an empty key")


@pytest.mark.parametrize(
    ("when", "skipped"),
    [("id == `1`", False), ("id == `2`", True), ("missing", True), ("message", False)],
)
def test_when_rules_records_out(when: str, skipped: bool) -> None:
    """A record for which `when` is false or empty is not sent."""
    assert isinstance(build(when=when), Skipped) == skipped


def response(body: bytes, status: int = 200) -> Response:
    return Response(status, [(b"etag", b"x"), (b"via", b"a"), (b"via", b"b")], body, 0)


@pytest.mark.parametrize(
    ("select", "body", "kept"),
    [
        ("summary", b'{"summary": "s", "more": 1}', Body(b'"s"')),
        ("missing", b"{}", Body(b"null")),
        (None, b'{"n": 1.00}', Body(b'{"n": 1.00}')),
    ],
)
def test_select_trims_the_body(select: str | None, body: bytes, kept: Body) -> None:
    """The outcome keeps what the expression finds; without one, every byte."""
    assert plan(select=select).responses.content(response(body)) == kept


@pytest.mark.parametrize(
    ("kept", "is_so"),
    [
        (b"null", True),
        (b'{"a":null,"b":null}', True),
        (b"[null]", True),
        (b"{}", False),
        (b"[]", False),
        (b'""', False),
        (b"0", False),
        (b'{"a":null,"b":0}', False),
        (b"[null,[]]", False),
    ],
)
def test_nothing_is_null_or_made_of_it(kept: bytes, is_so: bool) -> None:
    """An empty list may be what an API has; a path that is misspelt gives null."""
    assert is_nothing(Body(kept)) == is_so


def test_fields_are_known_with_their_places() -> None:
    """Those of URL, headers and idempotency key; a value of null is none."""
    requests = plan(
        url="https://a.example/{id}{?q.lang}",
        headers={"X-B": "{b}-{id}"},
        idempotency_key="{c}",
    ).requests
    assert requests.fields == {
        "id": "url",
        "q.lang": "url",
        "b": "header X-B",
        "c": "header Idempotency-Key",
    }
    given = Record(0, b"", b'{"id": 0, "q": {"lang": ""}, "b": null}')
    assert requests.fields_of(requests.fields, given) == {"id", "q.lang"}
    seen = requests.fields_of({"_results.x"}, given, {"x": 1})
    assert seen == {"_results.x"}


def test_select_needs_json() -> None:
    """A body that is not JSON is a `decode` error only where an expression reads it."""
    reader = plan(select="a").responses
    error = reader.content(response(b"oops"))
    assert isinstance(error, ErrorInfo)
    assert error.kind == "decode"
    assert reader.content(response(b"oops", 500)) == Body(b'"oops"')


def test_headers_are_captured_by_name() -> None:
    """Names match whatever their case, and repeated headers are joined."""
    reader = plan(capture_headers=["ETag", "Via", "X-None"]).responses
    assert reader.captured(response(b"")) == {"etag": "x", "via": "a, b"}
    assert plan().responses.captured(response(b"")) is None


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([b"a=1"], "a=1"),
        ([b"a=1; Expires=Mon, 03 Apr 2017 12:25:07 GMT", b"b=2"], None),
        ([b"a=1", b"a=1"], None),
        ([b"", b" a=1 \t"], ["", "a=1"]),
        ([b"a=\x01\xe4", b"b"], ["a=\x01\xe4", "b"]),
    ],
)
def test_cookies_are_never_joined(values: list[bytes], kept: str | list[str] | None) -> None:
    """Cookies contain commas (psf/requests#3957, whatwg/fetch#345, mswjs/msw#640)."""
    answer = Response(200, [(b"set-cookie", value) for value in values], b"", 0)
    reader = plan(capture_headers=["Set-Cookie"]).responses
    expected = [value.decode("latin-1") for value in values] if kept is None else kept
    assert reader.captured(answer) == {"set-cookie": expected}


def test_ok_status_accepts_classes_and_numbers() -> None:
    """`2xx` is a hundred statuses."""
    assert parse_ok_status(["2xx", 404]) == frozenset([*range(200, 300), 404])
    with pytest.raises(ConfigError, match="ok_status: invalid status '2x': use some such as"):
        parse_ok_status(["2x"])


def test_reprs_show_no_values() -> None:
    """Header values and queries may hold secrets."""
    headers = (("Authorization", "Bearer s3cret"),)
    head = RequestHead("GET", Origin("https", "a.test", 443), "/x?key=s3cret", headers)
    assert repr(head) == "<RequestHead: GET https://a.test, Authorization>"
    assert repr(Request(head, b"s3cret")) == f"<Request: {head!r}, 6 bytes>"
    plain = RequestBuilder(method="GET", origin=head.origin, target=head.target, headers=headers)
    templated = RequestBuilder(
        method="GET",
        origin=head.origin,
        target=head.target,
        headers=headers,
        templated=(("X-Key", ("s3cret-", "id", "")),),
    )
    assert repr(plain) == "<RequestBuilder: GET https://a.test, Authorization>"
    assert repr(templated) == "<RequestBuilder: GET https://a.test, Authorization, X-Key>"

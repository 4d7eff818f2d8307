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
from tmux_fanout.core.requests.response_reader import parse_ok_status

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
        ({"headers": {"X": "{tags}"}}, "the record has no field tags (which is neither text nor"),
        ({"headers": {"X": "{bad}"}}, "header X: a field has characters that no header can hold"),
        ({"body": "length(id)"}, "body: length() takes text, a list or an object, not a number"),
        ({"body": "message", "body_format": "form"}, "body_format form: the body is not an object"),
    ],
    ids=str,
)
def test_unsuitable_record_is_a_template_error(settings: dict[str, Any], message: str) -> None:
    """A record that lacks a field fails that call, and the message names the field."""
    error = build(**settings)
    assert isinstance(error, ErrorInfo)
    assert error.kind == "template"
    assert error.message.startswith(message)


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

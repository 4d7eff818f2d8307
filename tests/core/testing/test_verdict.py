"""Whether a test holds, and what the report says where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tmux_fanout.core.http.messages import Origin, Request, RequestHead
from tmux_fanout.core.testing.stand_ins import StandIns
from tmux_fanout.core.testing.statement import ConfigTest, ExpectedRequests, Reply
from tmux_fanout.core.testing.verdict import Observed, Sent, mistakes

REPLY = Reply()
ORIGIN = Origin("https", "a.example", 443)


def sent(
    body: bytes | None = b'{"id":7}',
    reply: Reply | None = REPLY,
    *,
    method: str = "POST",
    target: str = "/v1?key=1",
    is_token: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Sent:
    head = RequestHead(method, ORIGIN, target, tuple((headers or {}).items()))
    return Sent("a", Request(head, body), reply, is_token)


def found(
    *requests: Sent,
    part: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    expect: Sequence[Any] | None = None,
    results: Sequence[Any] = ({"ok": True},),
    left: Mapping[str, int] | None = None,
    replies: int = 0,
    ended: str = "",
) -> list[str]:
    """Return the mistakes of a test that sent some requests."""
    parts = [part] if isinstance(part, Mapping) else part or []
    requested = ExpectedRequests(parts, is_first=isinstance(part, Mapping))
    test = ConfigTest(
        number=1,
        records=[1],
        replies={"a": [Reply()] * replies},
        expect=expect,
        expect_request={} if part is None else {"a": requested},
    )
    return list(mistakes(test, Observed(results, requests, left or {}, (), ended), StandIns()))


@pytest.mark.parametrize(
    ("part", "request_"),
    [
        ({}, sent()),
        ({"method": "post"}, sent()),
        ({"url": "https://a.example/v1?key=1"}, sent()),
        ({"url": "/v1?key=1"}, sent()),
        ({"headers": {"x-id": "7"}}, sent(headers={"X-Id": "7", "X-Other": "1"})),
        ({"headers": {"X-Key": "Bearer ${KEY}"}}, sent(headers={"X-Key": "Bearer ${KEY}"})),
        ({"body": {"id": 7.0}}, sent()),
        ({"body": '{"id":7}'}, sent()),
        ({"body": "text"}, sent(b"text")),
        ({"body": "text"}, sent(b'"text"')),
        ({"body": 3}, sent(b"3")),
    ],
)
def test_requests_match(part: Mapping[str, Any], request_: Sent) -> None:
    """A part of a request is enough, and a body may be written as a value or as text."""
    assert found(request_, part=part) == []


@pytest.mark.parametrize(
    ("part", "request_", "message"),
    [
        ({"method": "GET"}, sent(), 'method: expected "GET", got "POST"'),
        ({"url": "/v2"}, sent(target="/v1"), 'url: expected "/v2", got "/v1"'),
        (
            {"url": "https://b.example/"},
            sent(target="/"),
            'url: expected "https://b.example/", got "https://a.example/"',
        ),
        ({"headers": {"X-Id": "7"}}, sent(), 'headers.X-Id: expected "7", got nothing'),
        ({"headers": {"X-Id": "7"}}, sent(headers={"x-id": "8"}), 'X-Id: expected "7", got "8"'),
        ({"body": {"id": 8}}, sent(), "body.id: expected 8, got 7"),
        ({"body": {"id": 8}}, sent(None, method="GET"), 'body: expected {"id":8}, got nothing'),
        ({"body": {"id": 8}}, sent(b"id=8"), 'body: expected {"id":8}, got "id=8"'),
        ({"body": "a"}, sent(b"b"), 'body: expected "a", got "b"'),
        (
            {"headers": {"Authorization": "Bearer a"}},
            sent(headers={"Authorization": "Bearer b"}),
            'headers.Authorization: expected "Bearer ***", got another value',
        ),
        (
            {"url": "/v1?key=2"},
            sent(),
            'url: expected "/v1?key=***", got another value',
        ),
        (
            {"body": {"password": "a"}},
            sent(b'{"password":"b"}'),
            "body.password: expected ***, got another value",
        ),
    ],
)
def test_requests_differ(part: Mapping[str, Any], request_: Sent, message: str) -> None:
    """A difference has its place, and no secret."""
    [line] = found(request_, part=part)
    assert line.startswith("request to a: ")
    assert line.endswith(message)


def test_number_of_requests() -> None:
    """A table is about the first request, a list about all of them."""
    assert found(sent(), sent(), part={"method": "POST"}) == []
    assert found(part=[]) == []
    assert found(sent(), part=[]) == ["expect_request.a: expected 0 requests, got 1"]
    assert found(part={"body": 1}) == ["expect_request.a: expected 1 request, got none"]
    wrong = found(sent(), sent(), part=[{}, {"method": "GET"}])
    assert wrong == ['request 2 to a: method: expected "GET", got "POST"']


def test_requests_for_tokens_are_apart() -> None:
    """They are not among the requests of the API, and their bodies are not shown."""
    token = sent(b"client_secret=s3cret", None, is_token=True)
    [line] = found(token, part=[])
    assert line == "tokens.a: no reply: POST https://a.example/v1?key=***"


def test_results() -> None:
    """Of several records, a difference says of which one it is."""
    assert found(expect=[{"ok": True}]) == []
    assert found(expect=[{"ok": False}]) == ["ok: expected false, got true"]
    two = [{"ok": True}, {"ok": False}]
    wrong = found(expect=[{"ok": True}, {"ok": True}], results=two)
    assert wrong == ["record 1: ok: expected true, got false"]
    assert found(expect=[{"ok": True}], results=()) == ["results: expected 1 line, got none"]


def test_results_of_a_test_that_was_ended_are_not_compared() -> None:
    """What ended it is all that there is to say."""
    assert found(expect=[{"ok": False}], ended="not done") == ["not done"]
    [line] = found(sent(reply=None), expect=[{"ok": False}], replies=1)
    assert line.startswith("replies.a: there is 1 reply, and request 2 was sent: POST ")


def test_replies_that_are_left() -> None:
    """Each stands for a request that was not sent."""
    assert found(left={"a": 1}) == ["replies.a: expected 1 request, none was sent"]
    assert found(sent(), left={"a": 1}) == ["replies.a: expected 2 requests, 1 was sent"]
    assert found(left={"a token": 2}) == ["tokens.a: expected 2 requests, none was sent"]

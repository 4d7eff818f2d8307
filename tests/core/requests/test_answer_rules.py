"""The user's rules on answers: what expressions see, and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import Judged, Repeatable, repeatable
from tmux_fanout.core.policy.retry import Retry, RetryPolicy, decide
from tmux_fanout.core.requests.response_reader import ResponseReader

ALWAYS, IF_IDEMPOTENT, NEVER = Repeatable.ALWAYS, Repeatable.IF_IDEMPOTENT, Repeatable.NEVER
SAFE = RetryPolicy(retries=2, timeout=60.0, method="GET", idempotent=True)
UNSAFE = RetryPolicy(retries=2, timeout=60.0, method="POST", idempotent=False)


def reader(**settings: Any) -> ResponseReader:
    return plan_run([Api("a", "http://api.test/", **settings)], RunSettings(), {}).apis[0].responses


def answer(status: int, body: bytes = b"{}", **more: Any) -> Response:
    headers = more.pop("headers", ())
    return Response(status, headers, body, len(body), **more)


@pytest.mark.parametrize(
    ("expression", "response", "ok"),
    [
        ("body.done", answer(200, b'{"done":true}'), True),
        ("body.done", answer(200, b'{"done":false}'), False),
        ("body.done", answer(200, b"{}"), False),
        ("body.done", answer(200, b"[1]"), False),
        ("body.done", answer(200, b""), False),
        ("body.count", answer(200, b'{"count":0}'), False),
        ("body.count", answer(200, b'{"count":0.0}'), False),
        ("body.list", answer(200, b'{"list":[]}'), False),
        ("!(body.errors)", answer(200, b'{"data":1}'), True),
        ("!(body.errors)", answer(200, b'{"errors":[{"message":"no"}]}'), False),
        ("body == 'OK'", answer(200, b"OK"), True),
        ("body == `null`", answer(200, b""), True),
        (
            "body == 'Caf\xe9'",
            answer(200, b"Caf\xe9", headers=((b"content-type", b"text/plain;charset=latin1"),)),
            True,
        ),
        ("body.ok", answer(200, b'\xef\xbb\xbf{"ok":true}'), True),
        ("contains(body, 'ERR')", answer(200, b"\xff\xfeERR"), True),
        ("status == `204`", answer(204, b""), True),
        ("status == `204`", answer(200, b""), False),
        ("headers.\"x-state\" == 'a, b'", answer(200, headers=((b"x-state", b"a"),)), False),
        (
            "headers.\"x-state\" == 'a, b'",
            answer(200, headers=((b"x-state", b"a"), (b"x-state", b" b "))),
            True,
        ),
    ],
)
def test_ok_when_sees_status_headers_and_body(
    expression: str, response: Response, ok: bool
) -> None:
    """JSON is decoded, other bodies are text, and headers of one name are joined."""
    responses = reader(ok_when=expression)
    assert responses.is_ok(responses.judge(response)) is ok


@pytest.mark.parametrize(
    ("settings", "response", "rule"),
    [
        ({"ok_when": "body.ok"}, answer(200), NEVER),
        ({"ok_when": "body.ok", "ok_status": ["2xx", 503]}, answer(503), NEVER),
        ({"ok_when": "body.ok", "retry_on": [409]}, answer(200), NEVER),
        ({"ok_when": "body.ok", "retry_on": [200]}, answer(200), IF_IDEMPOTENT),
        ({"ok_when": "body.ok", "retry_on": [200]}, answer(200, answered=True), IF_IDEMPOTENT),
        (
            {"ok_when": "body.ok", "ok_status": ["2xx", 404], "retry_on": [404]},
            answer(404),
            ALWAYS,
        ),
        ({"ok_when": "body.ok"}, answer(404), NEVER),
        ({"ok_when": "body.ok"}, answer(503), ALWAYS),
        ({"ok_when": "body.ok", "retry_when": "body.busy"}, answer(200), NEVER),
        (
            {"ok_when": "body.ok", "retry_when": "body.busy"},
            answer(200, b'{"busy":1}'),
            IF_IDEMPOTENT,
        ),
        ({"retry_on": ["5xx", 409]}, answer(409), ALWAYS),
        ({"retry_on": ["5xx", 409]}, answer(409, answered=True), IF_IDEMPOTENT),
        ({"retry_on": ["5xx", 409]}, answer(501), IF_IDEMPOTENT),
        ({"retry_on": ["5xx", 409]}, answer(503), ALWAYS),
        ({"retry_on": ["5xx", 409]}, answer(529), ALWAYS),
        ({"retry_on": ["5xx", 409]}, answer(404), NEVER),
        ({"retry_on": ["5xx", 409]}, answer(429), ALWAYS),
        ({"retry_on": [202], "ok_status": [200]}, answer(202), IF_IDEMPOTENT),
        ({"retry_when": "body.code == 'busy'"}, answer(400, b'{"code":"busy"}'), ALWAYS),
        ({"retry_when": "body.code == 'busy'"}, answer(429, b'{"code":"quota"}'), NEVER),
        ({"retry_when": "`true`"}, answer(500), IF_IDEMPOTENT),
        ({"retry_when": "`true`", "retry_on": [409]}, answer(404), ALWAYS),
        ({"retry_when": "`false`", "retry_on": [409]}, answer(409), NEVER),
    ],
)
def test_rules_decide_within_what_may_be_sent_twice(
    settings: dict[str, Any], response: Response, rule: Repeatable
) -> None:
    """4xx, 503 and 529 were not processed; everything else may have been."""
    judged = reader(**settings).judge(response)
    assert isinstance(judged, Judged)
    assert repeatable(judged) is rule


def test_a_rejected_answer_says_what_was_seen() -> None:
    """The message has the expression, the status and the beginning of the body, on one line."""
    body = b'{"done":false,"why":"\x1b[2J' + b"x" * 1000
    judged = reader(ok_when="body.done == 'yes'").judge(answer(200, body))
    error = decide(SAFE, judged, attempts=3, failures=2, used=0.0, jitter=0.5)
    assert not isinstance(error, Retry)
    assert error.kind == "rejected"
    assert error.message.startswith(
        "HTTP 200 after 3 attempts; "
        'ok_when "body.done == \'yes\'" is not true of {"done":false,"why":"\\x1b[2Jxxx'
    )
    assert error.message.endswith("x…")
    assert len(error.message) < 250
    assert judged.body == body


def test_a_rejected_post_is_ambiguous_only_if_it_would_have_been_repeated() -> None:
    """Without `idempotent` it is final; where no rule has it retried, nothing was held back."""
    judged = reader(ok_when="body.ok", retry_on=[200]).judge(answer(200))
    error = decide(UNSAFE, judged, attempts=1, used=0.0, jitter=0.5)
    assert not isinstance(error, Retry)
    assert error.ambiguous
    assert "not retried, as the POST may have been applied" in error.message
    for rules in ({}, {"retry_when": "body.busy"}):
        judged = reader(ok_when="body.ok", **rules).judge(answer(200))
        error = decide(UNSAFE, judged, attempts=1, used=0.0, jitter=0.5)
        assert not isinstance(error, Retry)
        assert (error.kind, error.ambiguous) == ("rejected", False)


@pytest.mark.parametrize(
    ("settings", "status", "why"),
    [
        (
            {"ok_when": "contains(body.n, 'x')"},
            200,
            "HTTP 200; ok_when: contains() takes a list or text, not a number",
        ),
        (
            {"retry_when": "length(body.n) > `1`"},
            500,
            "HTTP 500; retry_when: length() takes text, a list or an object, not",
        ),
    ],
)
def test_an_expression_that_fails_ends_the_call(
    settings: dict[str, Any], status: int, why: str
) -> None:
    """The error is of kind `decode`, and names the expression."""
    judged = reader(**settings).judge(answer(status, b'{"n":1}'))
    error = decide(SAFE, judged, attempts=1, used=0.0, jitter=0.5)
    assert not isinstance(error, Retry)
    assert error.kind == "decode"
    assert error.message.startswith(why)


def test_select_uses_what_ok_when_decoded() -> None:
    """The body is not decoded a second time, and text that is not JSON is still an error."""
    responses = reader(ok_when="body", select="n")
    judged = responses.judge(answer(200, b'{"n":1.10}'))
    content = responses.content(judged)
    assert getattr(content, "json", None) == b"1.10"
    text = responses.content(responses.judge(answer(200, b"hello")))
    assert getattr(text, "kind", None) == "decode"
    rejected = reader(ok_when="body.ok", select="n")
    kept = rejected.content(rejected.judge(answer(200, b'{"n":1}')))
    assert getattr(kept, "json", None) == b'{"n":1}'


def test_without_rules_a_response_is_not_judged() -> None:
    """The plain path has no rules to ask."""
    responses = reader()
    response = answer(503)
    assert responses.rules is None
    assert responses.judge(response) is response


@given(st.binary(max_size=60), st.integers(100, 599))
def test_any_answer_can_be_judged(body: bytes, status: int) -> None:
    """Whatever the body, there is a judgement, and never an exception."""
    responses = reader(ok_when="body.a[0] && !(body.b)", retry_when="starts_with(body, 'x')")
    judged = responses.judge(answer(status, body))
    assert responses.is_ok(judged) or isinstance(judged, Judged)
    if isinstance(judged, Judged):
        assert judged.note.isprintable()


def test_deep_json_is_text() -> None:
    """A body that is nested too deeply to be decoded is judged like any other text."""
    body = b"[" * 100_000 + b"]" * 100_000
    judged = reader(ok_when="body.ok").judge(answer(200, body))
    assert isinstance(judged, Judged)
    assert judged.kind == "rejected"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ok_when": "body."}, "ok_when: invalid JMESPath expression: it is incomplete"),
        ({"ok_when": "!body.errors"}, r"ok_when: misplaced !: .*: !\(a.b\)"),
        ({"ok_when": "!body[0].error"}, "ok_when: misplaced !: "),
        ({"ok_when": 3}, "ok_when: invalid value 3: use text in quotes"),
        ({"retry_when": "nope(body)"}, r"retry_when: unknown function nope\(\)"),
        ({"retry_on": "5xx"}, "retry_on: invalid list '5xx': use one such as"),
        ({"retry_on": ["5x"]}, "retry_on: invalid status '5x': use some such as"),
        ({"retry_on": [{}]}, "retry_on: invalid item"),
        ({"retry_on": [True]}, "retry_on: invalid item True"),
        ({"retry_on": [-1]}, "retry_on: invalid status -1: use some such as"),
        ({"retry_on": [202]}, "retry_on: no effect, as all of these statuses are ok"),
    ],
)
def test_mistakes_are_reported_with_their_key(settings: dict[str, Any], message: str) -> None:
    """Each mistake is one line that names the key and what to use instead."""
    with pytest.raises(ConfigError, match=message):
        reader(**settings)

"""Responses that are streams of values, as lists of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.request_plan import plan_responses
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.policy.answers import Judged
from tmux_fanout.core.requests.streams.events import Event, parse_events

URL = "http://a.test/"
SSE = ((b"content-type", b"text/event-stream; charset=utf-8"),)


@pytest.mark.parametrize(
    ("text", "events"),
    [
        # The examples of WHATWG HTML, section 9.2.6.
        (
            "data: This is the first message.\n\n"
            "data: This is the second message, it\ndata: has two lines.\n\n"
            "data: This is the third message.\n\n",
            [
                ("", "This is the first message."),
                ("", "This is the second message, it\nhas two lines."),
                ("", "This is the third message."),
            ],
        ),
        (
            "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n"
            "event: add\ndata: 113411\n\n",
            [("add", "73857293"), ("remove", "2153"), ("add", "113411")],
        ),
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [("", "YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\n"
            "data:second event\nid\n\ndata:  third event\n\n",
            [("", "first event"), ("", "second event"), ("", " third event")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [("", ""), ("", "\n")]),
        ("data:test\n\ndata: test\n\n", [("", "test"), ("", "test")]),
        # The rest of its rules.
        ("\ufeffdata: x\n\n", [("", "x")]),
        ("event: only\n\ndata: x\n\n", [("", "x")]),
        ("event: message\ndata: x\n\n", [("", "x")]),
        ("event: a\nevent: b\ndata: x\n\n", [("b", "x")]),
        ("retry: 10\nDATA: no\n data: no\nodd: no\ndata: yes: 1\n\n", [("", "yes: 1")]),
        ("data: whole\n\ndata: cut off\n", [("", "whole")]),
        ("data: cut off", []),
        ("", []),
    ],
)
def test_events_are_read_as_the_standard_says(text: str, events: list[tuple[str, str]]) -> None:
    """Whatever the line ends are: LF, CRLF or CR."""
    for end in ("\n", "\r\n", "\r"):
        assert list(parse_events(text.replace("\n", end))) == [Event(*each) for each in events]


def read(body: bytes, headers: Any = (), status: int = 200, **keys: Any) -> str:
    """Return what is kept of a response, or its error."""
    reader = plan_responses(Api("a", URL, **keys))
    response = reader.judge(Response(status, headers, body, 0))
    if isinstance(response, Judged):
        return f"{response.kind}: {response.note}"
    content = reader.content(response)
    return content.json.decode() if isinstance(content, Body) else f"{content.kind}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1.0}\n\n[2]\r\n"x"', '[{"a": 1.0},[2],"x"]'),
        (b"\xef\xbb\xbf1\n2\n", "[1,2]"),
        (b"", "[]"),
        (b"1", "[1]"),
        (b"1\noops\n", "decode: line 2 of the response is not JSON: "),
        (b'1\n{"cut', "decode: line 2 of the response is not JSON: it ends too early"),
    ],
)
def test_lines_become_a_list(body: bytes, expected: str) -> None:
    """Each line keeps its spelling; one that is not JSON is named."""
    assert read(body, stream="ndjson").startswith(expected)


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b'data: {"n": 1.0}\n\ndata: [DONE]\n\n', SSE, '[{"n": 1.0}]'),
        (b"data: [DONE]\n\ndata: 1\n\n", SSE, '["[DONE]",1]'),
        (b"data: plain text\n\ndata:\n\n", SSE, '["plain text",""]'),
        (b'event: error\ndata: {"x":1}\n\n', SSE, '[{"event":"error","data":{"x":1}}]'),
        (b'event: ping\ndata: "\n\n', SSE, '[{"event":"ping","data":"\\""}]'),
        (b": nothing\n\n", SSE, "[]"),
        (b"", SSE, "[]"),
        (b"data: \xff\n\n", SSE, "decode: the response is not UTF-8"),
        (b"{}", ((b"content-type", b"application/json"),), "decode: the response is application/"),
        (b"{}", (), "decode: the response has no Content-Type, and not text/event-stream"),
    ],
)
def test_events_become_a_list(body: bytes, headers: Any, expected: str) -> None:
    """Data is JSON or text; the mark at the end of OpenAI's streams is dropped."""
    assert read(body, headers, stream="sse").startswith(expected)


@pytest.mark.parametrize(
    ("keys", "body", "expected"),
    [
        ({"last": True}, b"1\n2\n", "2"),
        ({"last": True}, b"", "null"),
        ({"last": True, "select": "x"}, b'{"x":1}\n{"x":2}\n', "2"),
        ({"select": "join('', [].x)"}, b'{"x":"a"}\n{"x":"b"}\n', '"ab"'),
        ({"ok_when": "body[-1].done"}, b'{"done":true}\n', '[{"done":true}]'),
        ({"ok_when": "body[-1].done"}, b"1\n", "rejected: ok_when 'body[-1].done' is not true"),
        ({"ok_when": "body"}, b"1\noops\n", "decode: line 2"),
    ],
)
def test_expressions_see_the_values(keys: dict[str, Any], body: bytes, expected: str) -> None:
    """`select` and `ok_when` see the list, or the last value."""
    assert read(body, stream="ndjson", **keys).startswith(expected)


def test_a_response_that_is_not_ok_stays_as_it_is() -> None:
    """Errors are seldom streams."""
    assert read(b"overloaded", status=503, stream="sse") == '"overloaded"'


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists)))
def test_any_values_survive_either_form(values: list[Any]) -> None:
    """What was put into a stream comes out of it."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    lines = "".join(f"{text}\n" for text in texts).encode()
    events = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert json.loads(read(lines, stream="ndjson")) == values
    assert json.loads(read(events, SSE, stream="sse")) == values


@given(st.binary())
def test_no_bytes_break_a_reader(body: bytes) -> None:
    """Whatever comes is a list, or an error of kind `decode`."""
    for form in ("ndjson", "sse"):
        assert read(body, SSE, stream=form).startswith(("[", "decode: "))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"stream": "xml"}, "stream: invalid value 'xml': use ndjson or sse"),
        ({"last": True}, 'last: only for a stream: add stream = "ndjson" or "sse"'),
        ({"stream": "sse", "batch": {"size": 2}}, "stream: cannot be combined with batch"),
    ],
)
def test_mistakes_are_named(keys: dict[str, Any], message: str) -> None:
    """The message says what to write instead."""
    with pytest.raises(ConfigError) as caught:
        plan_run([Api("a", URL, **keys)], RunSettings(), {})
    assert str(caught.value).startswith(f"API 'a': {message}")


def test_spent_is_found_in_the_stream() -> None:
    """The last event of a model's stream tells the tokens."""
    keys: dict[str, Any] = {"stream": "sse", "spent": "[-1].usage", "rate": {"tokens": "9/s"}}
    [plan] = plan_run([Api("a", URL, **keys)], RunSettings(), {}).apis
    assert plan.spending
    assert plan.spending.spent
    body = b'data: {"x":1}\n\ndata: {"usage":{"input":3,"output":4}}\n\ndata: [DONE]\n\n'
    assert plan.spending.spent.read(Response(200, SSE, body, 0)) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (b"text/event-stream; charset=utf-8", '; set stream = "sse"'),
        (b"application/x-ndjson", '; set stream = "ndjson"'),
        (b"Application/JSONL", '; set stream = "ndjson"'),
        (b"text/html", ""),
    ],
)
def test_a_stream_that_is_taken_for_json_is_recognised(kind: bytes, advice: str) -> None:
    """The message of `select` has the setting that is missing."""
    reader = plan_responses(Api("a", URL, select="n"))
    body = b'{"n":1}\n{"n":2}\n' if b"event" not in kind else b"data: 1\n\n"
    error = reader.content(Response(200, [(b"content-type", kind)], body, 0))
    assert isinstance(error, ErrorInfo)
    assert f"({kind.decode()})" in error.message.replace("it is ", "")
    assert error.message.partition("; set")[1:] == advice.partition("; set")[1:]

"""The functions that expressions have beside those of the JMESPath specification."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.json_text import decode_spelled, encode_json
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.expressions import Expression, ExpressionError

NOON = 1_764_072_000.1239  # 2025-11-25T12:00:00Z
VALUE = {
    "inner": '{"id": 1.50, "list": [1e1000, -0], "text": "\\u00e9"}',
    "text": "  A\u00c9, b ,c\t\n",
    "number": 5,
    "none": None,
    "half": "\ud800",
    "deep": "[" * 600 + "]" * 600,
}


def search(text: str, *, strict: bool = False) -> Any:
    """Return what an expression finds, as the JSON that is sent or kept."""
    expression = Expression("body", text, strict=strict, is_timed=True)
    return encode_json(expression.search(VALUE, NOON)).decode()


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from_json(inner)", '{"id":1.50,"list":[1e1000,-0],"text":"\u00e9"}'),
        ("from_json(inner).list[0]", "1e1000"),
        ("from_json(' null ')", "null"),
        ("from_json(to_json(@)).number", "5"),
        ("to_json(from_json(inner))", r'"{\"id\":1.50,\"list\":[1e1000,-0],\"text\":\"é\"}"'),
        ("to_json('a')", r'"\"a\""'),
        ("to_json(none)", '"null"'),
        ("to_json(half)", r'"\"\\ud800\""'),
        ("split(text, ',')", '["  A\u00c9"," b ","c\\t\\n"]'),
        ("split(text, ',')[].trim(@)", '["A\u00c9","b","c"]'),
        ("split('', ',')", '[""]'),
        ("split('abc', '')", '["a","b","c"]'),
        ("trim(text)", '"A\u00c9, b ,c"'),
        ("lower(trim(text))", '"a\u00e9, b ,c"'),
        ("base64('caf\u00e9')", '"Y2Fmw6k="'),
        ("base64('')", '""'),
        ("sha256('abc')", '"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"'),
        ("sha256(to_string(number))", None),
        ("now()", '"2025-11-25T12:00:00.123Z"'),
        ("{at: now(), n: number}", '{"at":"2025-11-25T12:00:00.123Z","n":5}'),
    ],
)
def test_functions_return(text: str, found: str | None, strict: bool) -> None:
    """Each function of each kind of argument, with numbers as they are spelled."""
    result = search(text, strict=strict)
    assert found is None or result == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("from_json(text)", "body: from_json(): the text is not JSON: "),
        ("from_json('')", "body: from_json(): the text is not JSON: "),
        ("from_json('[1,]')", "body: from_json(): the text is not JSON: "),
        ("from_json(half)", "body: from_json(): the text is not JSON: "),
        ("from_json(deep)", "body: from_json(): the text is not JSON: it is nested too deeply"),
        *((f"{name}(number)", "body: ") for name in ("from_json", "trim", "lower", "sha256")),
        *((f"{name}(none)", "body: ") for name in ("from_json", "trim", "base64", "sha256")),
        ("split(text, number)", "body: "),
        ("sha256(half)", "body: "),
        ("base64(half)", "body: "),
    ],
)
def test_functions_refuse(text: str, why: str) -> None:
    """What a function cannot take is an error of its record, in one line."""
    with pytest.raises(ExpressionError) as info:
        search(text)
    assert str(info.value).startswith(why)
    assert "\n" not in str(info.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False,
       allow_infinity=False) | st.text(), lambda inner: st.lists(inner)
       | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_from_json_undoes_to_json(value: Any) -> None:
    """Any value survives the round trip as it is spelled."""
    text = json.dumps(value).encode()
    expression = Expression("body", "from_json(to_json(@))", strict=False)
    spelled = decode_spelled(text)
    assert encode_json(expression.search(spelled)) == encode_json(spelled)


def plan(**settings: Any) -> Any:
    return plan_run([Api("a", "http://api.test/", **settings)], RunSettings(), {}).apis[0]


def test_now_is_the_time_of_the_request_and_of_the_answer() -> None:
    """Body, `when` and `select` know the time that they are given."""
    made = plan(body="{at: now()}", when="now() > '2025' || starts_with(now(), '2025-11')")
    assert made.requests.tells_time
    request = made.requests.build(Record(0, b"{}", b"{}"), None, NOON)
    assert isinstance(request, Request)
    assert request.body == b'{"at":"2025-11-25T12:00:00.123Z"}'
    responses = plan(select="{at: now(), it: @}").responses
    assert responses.tells_time
    for body in (b"1", b"text"):
        kept = responses.content(Response(200, (), body, 0), NOON)
        assert not isinstance(kept, ErrorInfo)
        assert b'"at":"2025-11-25T12:00:00.123Z"' in kept.json


def test_nothing_else_tells_the_time() -> None:
    """Where the time is not needed it is not asked for."""
    assert not plan(body="{now: a}", when="b").requests.tells_time
    assert not plan(select="now").responses.tells_time


@pytest.mark.parametrize("key", ["ok_when", "retry_when", "cost", "spent"])
def test_now_is_refused_where_it_has_no_value(key: str) -> None:
    """The message says where it can be used."""
    with pytest.raises(ConfigError, match=rf"{key}: now\(\) is not available here: use it in body"):
        plan(**{key: "starts_with(now(), '2025')", "rate": {"tokens": "5/s"}})


def test_an_unknown_function_names_the_nearest() -> None:
    """A misspelt name of a new function is advised on like any other."""
    with pytest.raises(ConfigError, match=r"unknown function fromjson\(\): did you mean from_json"):
        plan(body="fromjson(a)")
    with pytest.raises(ConfigError, match=r"wrong number of arguments of split\(\): use 2"):
        plan(body="split(a)")

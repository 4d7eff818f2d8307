"""Batches: their requests, and the assignment of the response's items."""

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
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.batch import BatchPlan

URL = "http://a.test/"
NO_LIST = "decode: the response to a batch: batch.items does not find a list in it"
JSON = ((b"content-type", b"application/json; charset=utf-8"),)
VALUES = st.lists(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))


def batch_plan(**batch: Any) -> tuple[BatchPlan, Any]:
    [plan] = plan_run([Api("a", URL, batch={"size": 9, **batch})], RunSettings(), {}).apis
    assert plan.batch
    return plan.batch, plan.requests


def requests_of(builder: Any, bodies: list[bytes]) -> list[Request]:
    return [builder.build(Record(i, body, body)) for i, body in enumerate(bodies)]


@pytest.mark.parametrize(
    ("form", "body", "content_type"),
    [
        ("json", b'[{"a": 1.0},[\n2]]', "application/json"),
        ("ndjson", b'{"a": 1.0}\n[ 2]\n', "application/x-ndjson"),
    ],
)
def test_request_has_the_records_as_they_are(form: str, body: bytes, content_type: str) -> None:
    """Numbers keep their spelling, and no line break remains inside an item."""
    plan, builder = batch_plan(format=form)
    request = plan.request(requests_of(builder, [b'{"a": 1.0}', b"[\n2]"]))
    assert isinstance(request, Request)
    assert request.body == body
    assert dict(request.head.headers)["Content-Type"] == content_type


@given(VALUES, st.sampled_from(["json", "ndjson"]))
def test_an_echo_returns_each_record_its_own_item(values: list[Any], form: str) -> None:
    """Whatever the records hold, item i of an echo is record i, in its spelling."""
    plan, builder = batch_plan(format=form)
    bodies = [json.dumps(value).encode() for value in values] or [b"0"]
    request = plan.request(requests_of(builder, bodies))
    assert isinstance(request, Request)
    headers = JSON if form == "json" else ()
    response = Response(200, headers, request.content, 0)
    assert plan.answers(response, [b""] * len(bodies)) == bodies


@pytest.mark.parametrize(
    ("batch", "headers", "body", "expected"),
    [
        ({}, JSON, b"[1.50, {}]", [b"1.50", b"{}"]),
        ({"items": "data[].x"}, JSON, b'{"data":[{"x":1},{"x":"y"}]}', [b"1", b'"y"']),
        ({"format": "ndjson"}, (), b'{"a":1}\r\n\n[2]', [b'{"a":1}\r', b"[2]"]),
        ({"format": "ndjson"}, JSON, b"[1, 2]", [b"1", b"2"]),
        ({}, JSON, b"[1]", "protocol: 1 item came back for a batch of 2"),
        ({}, JSON, b"[1,2,3]", "protocol: 3 items came back for a batch of 2"),
        ({"format": "ndjson"}, (), b"1\n2\n3\n", "protocol: 3 items came back for a batch of 2"),
        ({"format": "ndjson"}, (), b"1\noops\n", "decode: the response to a batch is not JSON: "),
        ({}, JSON, b'{"a":1}', "decode: the response to a batch: not a list: set batch"),
        ({}, JSON, b"<html>", "decode: the response to a batch is not JSON: "),
        ({"items": "data"}, JSON, b"[", "decode: the response to a batch is not JSON: "),
        (
            {"items": "data"},
            JSON,
            b'{"data":5}',
            "decode: the response to a batch: batch.items does not find a list",
        ),
        (
            {"items": "nowhere"},
            JSON,
            b"{}",
            "decode: the response to a batch: batch.items does not find a list",
        ),
    ],
)
def test_answers(batch: dict[str, Any], headers: Any, body: bytes, expected: Any) -> None:
    """There are as many items as records, or an error that says how many came."""
    plan, _ = batch_plan(**batch)
    answers = plan.answers(Response(200, headers, body, 0), [b"", b""])
    if isinstance(expected, list):
        assert answers == expected
    else:
        assert isinstance(answers, ErrorInfo)
        assert f"{answers.kind}: {answers.message}".startswith(expected)


@given(st.permutations(list(range(6))))
def test_answers_by_key_in_any_order(order: list[int]) -> None:
    """Each record gets the item with its key, at whatever position."""
    plan, builder = batch_plan(key="meta.id")
    bodies = [json.dumps({"meta": {"id": i}}).encode() for i in range(6)]
    keys = [plan.key_of(request) for request in requests_of(builder, bodies)]
    items = [json.dumps({"meta": {"id": i}, "n": i}) for i in order]
    answers = plan.answers(Response(200, JSON, f"[{','.join(items)}]".encode(), 0), keys)  # type: ignore[arg-type]  # all have keys
    assert isinstance(answers, list)
    assert [json.loads(item)["n"] for item in answers] == list(range(6))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"id":2},{"id":1}]', ["1", "2"]),
        (b'[{"id":"2"},{"id":"1"}]', ["1", "2"]),
        (b'[{"id":1.0},{"id":2},{"id":3}]', ["1", "2"]),
        (b'[{"id":1}]', ["1", "of 1 item that came back, none has this record's id: 2"]),
        (b'[{"id":1},{}]', ["1", "of 2 items that came back, none has this record's id: 2"]),
        (
            b'[{"id":1},{"id":2},{"id":"1"}]',
            ["of 3 items that came back, 2 have this record's id: 1", "2"],
        ),
        (b"[7]", [f"of 1 item that came back, none has this record's id: {n}" for n in (1, 2)]),
        (b"[]", [f"of 0 items that came back, none has this record's id: {n}" for n in (1, 2)]),
    ],
)
def test_by_key_each_record_stands_for_itself(body: bytes, expected: list[str]) -> None:
    """Items that are left out, or come twice, fail their own records; strangers are no one's."""
    plan, _ = batch_plan(key="id")
    answers = plan.answers(Response(200, JSON, body, 0), [b"1", b"2"])
    assert not isinstance(answers, ErrorInfo)
    found = [
        each.message if isinstance(each, ErrorInfo) else str(int(json.loads(each)["id"]))
        for each in answers
    ]
    assert found == expected
    assert {each.kind for each in answers if isinstance(each, ErrorInfo)} <= {"protocol"}


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        (b"1", b'"1"', True),
        (b"1.0", b'"1"', True),
        (b"1.5", b'"1.5"', True),
        (b"-3", b'"-3"', True),
        (b'"01"', b"1", False),
        (b'"1e3"', b"1000", False),
        (b"true", b'"true"', False),
        (b'"a"', b'"A"', False),
        (b"[1]", b'"[1]"', False),
    ],
)
def test_a_number_and_its_digits_are_one_key(one: bytes, other: bytes, are_same: bool) -> None:
    """APIs return `"1"` for 1; nothing else is taken for the same."""
    plan, builder = batch_plan(key="id")
    bodies = [b'{"id":%b}' % key for key in (one, other)]
    first, second = (plan.key_of(each) for each in requests_of(builder, bodies))
    assert (first == second) is are_same


def test_wrap_puts_the_items_into_an_envelope() -> None:
    """Numbers keep their spelling inside it."""
    plan, builder = batch_plan(wrap="{model: 'm', input: @}", items="data")
    request = plan.request(requests_of(builder, [b'{"a": 1.0}', b'"x"']))
    assert isinstance(request, Request)
    assert request.body == b'{"model":"m","input":[{"a":1.0},"x"]}'
    assert plan.answers(Response(200, JSON, b'{"data":[1,2]}', 0), [b"", b""]) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("wrap", "item", "expected"),
    [
        ("{n: sum(@)}", b'"x"', "template: batch.wrap: "),
        ("{input: [].text}", b'{"txt": 1}', "template: batch.wrap: "),
        ("{input: @}", b"1", "2"),
        ("{input: @}", b'"%b"' % (b"x" * 40), "too_large: a batch of this record alone has 54 "),
    ],
)
def test_an_item_that_fits_no_envelope_is_an_error(wrap: str, item: bytes, expected: str) -> None:
    """It is one of its own record, before the batch is made."""
    plan, builder = batch_plan(wrap=wrap, bytes=50)
    size = plan.size_of(requests_of(builder, [item])[0])
    shown = f"{size.kind}: {size.message}" if isinstance(size, ErrorInfo) else str(size)
    assert shown.startswith(expected)


@given(
    st.lists(st.integers() | st.text(max_size=8), min_size=1),
    st.sampled_from([{"format": "json"}, {"format": "ndjson"}, {"wrap": "{input: @}"}]),
)
def test_sizes_add_up_to_the_body(values: list[Any], form: dict[str, str]) -> None:
    """A body is never larger than the sizes of its items and the envelope say."""
    plan, builder = batch_plan(bytes="1MiB", **form)
    bodies = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    requests = requests_of(builder, bodies)
    request = plan.request(requests)
    assert isinstance(request, Request)
    assert request.body is not None
    sizes = [size for each in requests if isinstance(size := plan.size_of(each), int)]
    assert 0 <= plan.envelope + sum(sizes) - request.size <= len(values)


def test_an_item_without_its_key_is_an_error() -> None:
    """The message names the field."""
    plan, builder = batch_plan(key="id")
    error = plan.key_of(requests_of(builder, [b'{"x":1}'])[0])
    assert error == ErrorInfo("template", "the item to send has no field id, which batch.key names")


@pytest.mark.parametrize(
    ("api", "message"),
    [
        ({"url": "http://a.test/{id}"}, "batch: cannot be combined with {field} in a URL or "),
        ({"headers": {"X": "{id}"}}, "batch: cannot be combined with {field} in a URL or "),
        ({"method": "GET"}, "batch: requests without a JSON body"),
        ({"body_format": "form"}, "batch: requests without a JSON body"),
        ({"batch": {"size": 2, "items": "["}}, "batch.items: invalid JMESPath expression"),
        ({"batch": {"size": 2, "wrap": "{input"}}, "batch.wrap: invalid JMESPath expression"),
        (
            {"batch": {"size": 2, "wrap": "{a: 'b'}"}},
            "batch.wrap: the records are not in it: use @",
        ),
        (
            {"batch": {"size": 2, "wrap": "{a: @}", "format": "ndjson"}},
            "batch.wrap: an envelope is one JSON value: leave out format",
        ),
    ],
)
def test_different_requests_cannot_be_batched(api: dict[str, Any], message: str) -> None:
    """Records that need different requests cannot share one."""
    settings = {"url": URL, "batch": {"size": 2}, **api}
    with pytest.raises(ConfigError, match="API 'a': ") as caught:
        plan_run([Api("a", **settings)], RunSettings(), {})
    assert str(caught.value).startswith(f"API 'a': {message}")


def test_chunk_and_window_hold_a_batch() -> None:
    """Chunk and window grow with the largest batch, unless they are set."""
    api = Api("a", URL, batch={"size": 5000})
    plan = plan_run([api], RunSettings(), {})
    assert (plan.chunk_size, plan.window) == (5000, 20_000)
    plan = plan_run([api], RunSettings(chunk_size=10, window=20), {})
    assert (plan.chunk_size, plan.window) == (10, 20)


@pytest.mark.parametrize(
    ("sent", "item"),
    [
        (b'{"id":"\\ud800"}', b'{"id":"\\uD800", "id": "\\ud800"}'),
        (b'{"id":1.10}', b'{"id":1.1}'),
        (b'{"id":1.0}', b'{"id":1}'),
        (b'{"id":-0}', b'{"id":0.0}'),
        (b'{"id":1E400}', b'{"id":1E400}'),
        (b'{"id":%b}' % (b"1" * 5000), b'{"n":1.10,"id":%b}' % (b"1" * 5000)),
    ],
)
def test_odd_keys_find_their_items(sent: bytes, item: bytes) -> None:
    """Lone surrogates are keys, equal numbers are the same key, and items keep their spelling."""
    plan, builder = batch_plan(key="id")
    key = plan.key_of(requests_of(builder, [sent])[0])
    assert isinstance(key, bytes)
    assert plan.answers(Response(200, JSON, b" [ %b ] " % item, 0), [key]) == [item]

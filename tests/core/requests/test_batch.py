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
    assert request.body == body
    assert dict(request.head.headers)["Content-Type"] == content_type


@given(VALUES, st.sampled_from(["json", "ndjson"]))
def test_an_echo_returns_each_record_its_own_item(values: list[Any], form: str) -> None:
    """Whatever the records hold, item i of an echo is record i, in its spelling."""
    plan, builder = batch_plan(format=form)
    bodies = [json.dumps(value).encode() for value in values] or [b"0"]
    request = plan.request(requests_of(builder, bodies))
    headers = JSON if form == "json" else ()
    response = Response(200, headers, request.body or b"", 0)
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
    "body", [b'[{"id":1},{"id":1}]', b'[{"id":1},{"id":3}]', b'[{"id":1},{}]', b"[1,2]"]
)
def test_keys_that_do_not_match_fail_the_batch(body: bytes) -> None:
    """A repeated, foreign or missing key makes the whole batch a protocol error."""
    plan, _ = batch_plan(key="id")
    answers = plan.answers(Response(200, JSON, body, 0), [b"1", b"2"])
    assert answers == ErrorInfo("protocol", "the items' values of id do not match the batch")


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

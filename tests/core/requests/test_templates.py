"""Bodies as templates: values of JSON and texts with fields of the record."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.json_text import decode_spelled
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.builder import Skipped
from tmux_fanout.core.requests.templates.body import JsonTemplate, TextTemplate

RECORD = decode_spelled(
    b'{"text": "say \\"hi\\"", "n": 1.50, "user": {"name": "Ann"}, "tags": ["a", 2], "no": null,'
    b' "yes": true, "First Name": "Bo"}'
)
URL = "https://h/v1"


def build(line: bytes, **settings: Any) -> Request | Skipped | ErrorInfo:
    plan = plan_run([Api("a", URL, **settings)], RunSettings(), {}).apis[0]
    return plan.requests.build(Record(0, line, line))


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ("Summarise: {text}", b'"Summarise: say \\"hi\\""'),
        ("{text}", b'"say \\"hi\\""'),
        ("{n}", b"1.50"),
        ("n={n}, {yes}", b'"n=1.50, true"'),
        ("{user}", b'{"name":"Ann"}'),
        ("{user.name} {First Name}", b'"Ann Bo"'),
        ("tags: {tags}", b'"tags: [\\"a\\",2]"'),
        ("{tags.0}", b'"a"'),
        ("{{n}} {n}}}", b'"{n} 1.50}"'),
        ('{{"a": {{"b": 1}}}}', b'"{\\"a\\": {\\"b\\": 1}}"'),
        ("$5, $ {n}, ${{n}}", b'"$5, $ 1.50, ${n}"'),
        ("[{no?}{nothing?}]", b'"[]"'),
        ("", b'""'),
        ([1, 2.5, True, None, "x"], b'[1,2.5,true,null,"x"]'),
        ({}, b"{}"),
        ({"a": "{n}", "b": {"c": ["{text}"]}}, b'{"a":1.50,"b":{"c":["say \\"hi\\""]}}'),
        ({"{n}": 1}, b'{"{n}":1}'),
        ({"a": "{no?}", "b": 1}, b'{"b":1}'),
        ({"a": "{no?}"}, b"{}"),
        ({"a": "{n?}", "b": ["{no?}", "{yes?}", "{no?}"]}, b'{"a":1.50,"b":[true]}'),
    ],
    ids=str,
)
def test_values_of_the_record_are_filled_in(template: Any, body: bytes) -> None:
    """Text stays text, one field alone keeps its type and spelling, and braces can be written."""
    assert JsonTemplate(template).render(RECORD) == body


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"json": {"a": "{b}"}}, "the record has no field b"),
        ({"json": {"a": "x {user.id}"}}, "the record has no field user.id: user has no id"),
        ({"text": "{no}"}, "the record has no field no: it is null"),
        ({"text": "\ud800{id}"}, "'\\ud800' is half a character, which cannot be sent"),
    ],
)
def test_a_missing_field_fails_its_record(settings: dict[str, Any], message: str) -> None:
    """It does so as in a header, with kind `template`."""
    made = build(b'{"id": 1, "user": {}, "no": null}', **settings)
    assert made == ErrorInfo("template", message)


def test_text_is_sent_as_it_is() -> None:
    """A text body is no JSON, and says so."""
    made = build(b'{"q": "a\\nb"}', text="Q: {q}\n")
    assert isinstance(made, Request)
    assert made.body == b"Q: a\nb\n"
    assert dict(made.head.headers)["Content-Type"] == "text/plain; charset=utf-8"


def test_a_template_gives_any_method_a_body() -> None:
    """As `body` does; the type is JSON unless a header says otherwise."""
    made = build(b'{"q": 1}', json={"q": "{q}"}, method="GET")
    assert isinstance(made, Request)
    assert made.body == b'{"q":1}'
    assert dict(made.head.headers)["Content-Type"] == "application/json"


def test_results_of_other_apis_can_be_filled_in() -> None:
    """With `after`, a template sees `_results` as expressions do."""
    apis = [Api("a", URL), Api("b", URL, after=["a"], json=["{_results.a.body.id}", "{q}"])]
    requests = plan_run(apis, RunSettings(), {}).apis[1].requests
    line = b'{"q": 1}'
    made = requests.build(Record(0, line, line), {"a": {"body": {"id": 7}}})
    assert isinstance(made, Request)
    assert made.body == b"[7,1]"


FIELD = "a { that begins no field: write {field}, or {{ for a brace"


@pytest.mark.parametrize(
    ("template", "key", "message"),
    [
        ({"a": ["{ x }"]}, "json.a.0", FIELD),
        ("{x", "json", FIELD),
        ("a\n{}", "json", f"line 2: {FIELD}"),
        ("x }", "json", "a } that ends no field: write {field}, or }} for a brace"),
        (
            {"key": "${KEY}"},
            "json.key",
            "${VAR} is not filled in here: send a secret in a header, or write ${{ for ${",
        ),
        (
            {"on": datetime.date(2026, 1, 2)},
            "json.on",
            "JSON has no date or time 2026-01-02: "
            'use values of JSON, such as { text = "{message}" }',
        ),
        (
            [float("nan")],
            "json.0",
            'JSON has no number nan: use values of JSON, such as { text = "{message}" }',
        ),
        ({1: 2}, "json", "invalid key 1: use text"),
    ],
    ids=str,
)
def test_mistakes_in_templates_are_found_at_once(template: Any, key: str, message: str) -> None:
    """The error has the place in the value, and says what to write."""
    with pytest.raises(ConfigError) as found:
        Api("a", URL, json=template)
    assert (found.value.key, found.value.why) == (key, message)


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"json": 1, "text": "x"}, "text", "json beside it: leave one of the two out"),
        ({"json": 1, "body": "x"}, "json", "body beside it: leave one of the two out"),
        ({"text": "x", "body": "x"}, "text", "body beside it: leave one of the two out"),
        (
            {"json": 1, "body_format": "form"},
            "body_format",
            "json has a format of its own: leave it out, or use body",
        ),
        (
            {"text": "x", "batch": {"size": 2}},
            "batch",
            "a batch holds JSON, not text: use json or body",
        ),
        ({"text": 1}, "text", "invalid value 1: use text in quotes"),
    ],
)
def test_two_bodies_are_refused(settings: dict[str, Any], key: str, message: str) -> None:
    """So is a format or a batch that does not go with the body."""
    with pytest.raises(ConfigError) as found:
        Api("a", URL, **settings)
    assert (found.value.key, found.value.why) == (key, message)


def test_templates_can_be_batched() -> None:
    """Each item of a batch is made from the template."""
    api = Api("a", URL, json={"q": "{q}"}, batch={"size": 2})
    plan = plan_run([api], RunSettings(), {}).apis[0]
    lines = [b'{"q": 1}', b'{"q": 2}']
    made = [plan.requests.build(Record(n, line, line)) for n, line in enumerate(lines)]
    assert plan.batch is not None
    whole = plan.batch.request([each for each in made if isinstance(each, Request)])
    assert isinstance(whole, Request)
    assert whole.body == b'[{"q":1},{"q":2}]'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=10,
)


def escaped(value: Any) -> Any:
    """Return a value in which no brace means anything."""
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return value


@given(VALUES, VALUES)
def test_a_template_is_the_value_that_it_is_written_as(template: Any, field: Any) -> None:
    """Whatever a field holds, it stays within its value, and nothing else changes."""
    body = JsonTemplate({"x": [escaped(template), "{f?}"], "f": "{f?}", "t": "<{f?}>"})
    found = json.loads(body.render({"f": field}))
    expected = [] if field is None else [field]
    assert found["x"] == [template, *expected]
    assert found.get("f") == field
    assert found["t"][0] + found["t"][-1] == "<>"
    if isinstance(field, str):
        assert found["t"] == f"<{field}>"
        assert TextTemplate("<{f}>").render({"f": field}).decode() == f"<{field}>"

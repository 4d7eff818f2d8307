"""Pages and jobs: their settings, the Link header, and what follows an answer."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.series.links import MalformedLink, next_link
from tmux_fanout.core.requests.series.steps import Next, Series

URL = "http://a.test/v1/items"
POLL = {"url": "/jobs/{_submitted.id}", "until": "done"}


def plan(**keys: Any) -> ApiPlan:
    [planned] = plan_run([Api("a", **{"url": URL, **keys})], RunSettings(), {}).apis
    return planned


def begin(record: Any = None, **keys: Any) -> tuple[Request, Series]:
    """Return the first request for a record, and the series that it begins."""
    planned = plan(**keys)
    text = json.dumps(record).encode()
    source = Record(0, text, text)
    request = planned.requests.build(source)
    assert isinstance(request, Request)
    assert planned.series
    return request, planned.series.begin(request, source)


def answer(value: Any, **headers: str) -> Response:
    lines = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Response(200, lines, json.dumps(value).encode(), 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['<http://a.test/2>; rel="next"'], "http://a.test/2"),
        (["</2>;rel=next"], "/2"),
        (['</1>; rel="prev", </3> ; title="a, <b>; rel=next" ; REL = "last NEXT"'], "/3"),
        (["</1>; rel=prev", "</3>; rel=next"], "/3"),
        ([', , </2>; rel="next", '], "/2"),
        (['</2>; rel="next"; rel="prev"'], "/2"),
        (['</2>; rel="prev"; rel="next"'], None),
        (['</2>; rel="\\next"'], "/2"),
        (['</2>; rel="next"; anchor="/other"'], None),
        (["</2>; rel=next; crossorigin"], "/2"),
        (["</2>"], None),
        ([""], None),
        ([], None),
        (["<>; rel=next"], ""),
    ],
)
def test_link_headers(values: list[str], expected: str | None) -> None:
    """RFC 8288: parameters in any case and order, quoted or not, several links and lines."""
    headers = [(b"x", b"y"), *((b"link", value.encode()) for value in values)]
    assert next_link(headers) == expected


@pytest.mark.parametrize("value", ["/2; rel=next", "</2; rel=next", '</1>; rel="x, </2>; rel=next'])
def test_a_malformed_link_header_is_no_last_page(value: str) -> None:
    """Nobody knows what it says, so the list may go on."""
    with pytest.raises(MalformedLink):
        next_link([(b"link", value.encode())])


@given(st.text(alphabet='<>;,="\\ relnxt/', max_size=60))
def test_no_link_header_breaks_the_parser(value: str) -> None:
    """It gives a link, none, or the one error."""
    with suppress(MalformedLink):
        next_link([(b"link", value.encode())])


def test_a_long_malformed_link_header_is_read_quickly() -> None:
    """The pattern never goes back over what it has read."""
    for value in ('<a>; b="' + "\\" * 99_999, "<a>" + "; b" * 99_999 + "<", "<a>" + " ;" * 99_999):
        with suppress(MalformedLink):
            next_link([(b"link", value.encode())])


@pytest.mark.parametrize(
    ("pages", "value", "expected"),
    [
        ({"next": "n"}, {"n": "/v1/items?p=2"}, "/v1/items?p=2"),
        ({"next": "n"}, {"n": "?p=2"}, "/v1/items?p=2"),
        ({"next": "n"}, {"n": "HTTP://A.test:80/x#y"}, "/x"),
        (
            {"next": "n", "param": "c"},
            {"n": "http://b.test/"},
            "/v1/items?c=http%3A%2F%2Fb.test%2F",
        ),
        ({"next": "n", "param": "c"}, {"n": 0}, "/v1/items?c=0"),
        (
            {"next": "page < pages && sum([page, `1`])", "param": "page"},
            {"page": 1, "pages": 2},
            "/v1/items?page=2",
        ),
        (
            {"next": "info | more && end", "param": "after"},
            {"info": {"more": True, "end": "x="}},
            "/v1/items?after=x%3D",
        ),
        ({"next": "n", "param": "c"}, {"n": 1.50}, "/v1/items?c=1.5"),
        ({"next": "n", "param": "a b"}, {"n": "é"}, "/v1/items?a%20b=%C3%A9"),
    ],
)
def test_the_next_page(pages: dict[str, Any], value: Any, expected: str) -> None:
    """A URL is resolved, and a token put into the query."""
    _, series = begin(method="GET", pages={**pages, "items": "keys(@)"})
    step = series.follow(answer(value), 0.0, 0.0)
    assert isinstance(step, Next)
    assert (step.request.head.target, step.delay) == (expected, 0.0)


@pytest.mark.parametrize(
    ("keys", "body"),
    [
        ({"body": "{q: q}", "pages": {"param": "c"}}, b'{"q":1.0,"c":"t"}'),
        ({"body": "{q: q}", "pages": {"param": "a.b"}}, b'{"q":1.0,"a":{"b":"t"}}'),
        ({"body": "{q: q}", "body_format": "form", "pages": {"param": "c"}}, b"q=1.0&c=t"),
        (
            {"body": "{q: q, c: 'old'}", "body_format": "form", "pages": {"param": "c"}},
            b"q=1.0&c=t",
        ),
    ],
)
def test_a_token_in_the_body(keys: dict[str, Any], body: bytes) -> None:
    """The rest of the body stays, with numbers as they are spelled."""
    pages = {"next": "n", "items": "keys(@)", **keys["pages"]}
    _, series = begin({"q": 1.0}, **{**keys, "pages": pages})
    step = series.follow(answer({"n": "t"}), 0.0, 0.0)
    assert isinstance(step, Next)
    assert step.request.body == body


def test_a_parameter_of_the_query_beside_a_body() -> None:
    """A question mark before its name says so."""
    _, series = begin({}, pages={"next": "n", "param": "?c", "items": "keys(@)"})
    step = series.follow(answer({"n": "t"}), 0.0, 0.0)
    assert isinstance(step, Next)
    assert (step.request.head.target, step.request.body) == ("/v1/items?c=t", b"{}")


@pytest.mark.parametrize(
    ("pages", "body", "message"),
    [
        ({"next": "link"}, b"{}", "decode: the response is not a list: set pages.items to the"),
        ({"next": "link"}, b"<html>", "decode: the response is not JSON: "),
        ({"next": "link", "items": "d"}, b'{"d":{}}', "decode: pages.items finds an object in"),
        ({"next": "link", "items": "d"}, b"{}", "decode: pages.items finds null in the response"),
        ({"next": "link", "items": "sort(@)"}, b"1", "decode: pages.items: "),
        ({"next": "n", "items": "d"}, b'{"d":[],"n":{}}', "decode: pages.next finds an object in"),
        ({"next": "n", "items": "d"}, b'{"d":[],"n":2}', "decode: pages.next finds a number in"),
        ({"next": "n", "items": "d"}, b'{"d":[],"n":true}', "decode: pages.next finds true in"),
        ({"next": "n", "items": "d"}, b'{"d":[],"n":"http://b.test/"}', "protocol: the next page "),
        ({"next": "n", "items": "d"}, b'{"d":[],"n":"http://[/"}', "protocol: the next page is n"),
        (
            {"next": "n", "items": "d", "param": "x.y"},
            b'{"d":[],"n":"t"}',
            "template: pages.param: x is a number, not an object to put it into",
        ),
    ],
)
def test_what_is_no_page_says_why(pages: dict[str, Any], body: bytes, message: str) -> None:
    """The key at fault is named, and nothing of a URL is shown."""
    _, series = begin({"x": 1}, pages=pages)
    step = series.follow(Response(200, (), body, 0), 0.0, 0.0)
    assert isinstance(step, ErrorInfo)
    assert f"{step.kind}: {step.message}".startswith(message)


@pytest.mark.parametrize(
    ("next_page", "last"),
    [
        ("page < pages && sum([page, `1`])", {"page": 2, "pages": 2}),
        ("info | more && end", {"info": {"more": False, "end": "x="}}),
    ],
)
def test_a_condition_may_end_the_list(next_page: str, last: dict[str, Any]) -> None:
    """Numbered pages, and cursors that are there even on the last page."""
    pages = {"next": next_page, "param": "p", "items": "keys(@)"}
    _, series = begin(method="GET", pages=pages)
    assert isinstance(series.follow(answer(last), 0.0, 0.0), Response)


@pytest.mark.parametrize("end", [None, "", False])
def test_the_last_page(end: Any) -> None:
    """What is null, empty or false names no next page; items keep their spelling."""
    _, series = begin(method="GET", pages={"next": "n", "items": "d"})
    body = b'{"d":[1.50, {"a": 1}],"n":%b}' % json.dumps(end).encode()
    step = series.follow(Response(200, (), body, 9), 0.0, 0.0)
    assert isinstance(step, Response)
    assert (step.body, step.wire_size) == (b'[1.50,{"a":1}]', 9)


@given(st.binary(max_size=80))
def test_no_bytes_break_a_page_or_a_poll(body: bytes) -> None:
    """Whatever an API answers, there is a next step or an error."""
    for keys in (
        {"pages": {"next": "@", "items": "@"}},
        {"pages": {"next": "link"}},
        {"poll": POLL},
    ):
        _, series = begin({}, **keys)
        step = series.follow(Response(200, (), body, 0), 0.0, 0.0)
        assert isinstance(step, (Next, Response, ErrorInfo))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"pages": {"nxt": "link"}}, "pages: unknown key 'nxt': did you mean next?"),
        ({"pages": {}}, "pages: missing key 'next': add it"),
        ({"pages": {"next": "link", "param": "x"}}, "pages.param: no use with next = "),
        ({"pages": {"next": "n", "param": "?"}}, "pages.param: missing name: use that of the"),
        ({"pages": {"next": "a["}}, "pages.next: invalid JMESPath expression"),
        ({"pages": {"next": "link", "items": "a["}}, "pages.items: invalid JMESPath expression"),
        ({"pages": {"next": "link", "max": 0}}, "pages.max: invalid number 0: use a whole number"),
        ({"pages": {"next": "link"}, "idempotency_key": True}, "pages: cannot be combined with id"),
        ({"pages": {"next": "link"}, "batch": {"size": 2}}, "pages: cannot be combined with batch"),
        (
            {"pages": {"next": "link"}, "method": "GET", "hedge": "p95"},
            "pages: cannot be combined with hedge: leave one of the two out",
        ),
        (
            {
                "pages": {"next": "link"},
                "url": "/x",
                "endpoints": ["http://a.test", "http://b.test"],
            },
            "pages: cannot be combined with several endpoints",
        ),
        ({"poll": {"url": "/{id}"}}, "poll: missing key 'until': add it"),
        ({"poll": {**POLL, "url": "x"}}, "poll.url: invalid URL: use a path such as /v1/jobs/{_"),
        ({"poll": {**POLL, "url": "/x"}}, "poll.url: the same URL for all jobs: use a path such"),
        ({"poll": {**POLL, "url": "/{id"}}, "poll.url: invalid URI template"),
        ({"poll": {**POLL, "url": "/{_submited.id}"}}, "poll.url: unknown field: use _submitted"),
        ({"poll": {**POLL, "url": "http://b.test/{id}"}}, "poll.url: it has to be at http://a.te"),
        ({"poll": {**POLL, "url": "/${NO}/{id}"}}, "poll.url: ${NO} is not set; export NO=..."),
        ({"poll": {**POLL, "until": 's == "x"'}}, 'poll.until: "x" in double quotes is a field'),
        ({"poll": {**POLL, "until": "`false`"}}, "poll.until: it is never true"),
        ({"poll": {**POLL, "failed": "["}}, "poll.failed: invalid JMESPath expression"),
        ({"poll": {**POLL, "every": "1h"}}, "poll.every: longer than poll.max"),
        ({"poll": {**POLL, "every": 0}}, "poll.every: invalid duration 0: use more than zero"),
        ({"poll": {**POLL, "max": "x"}}, "poll.max: invalid duration 'x'"),
        ({"poll": POLL, "pages": {"next": "link"}}, "poll: cannot be combined with pages"),
        ({"poll": POLL, "spent": "n"}, "spent: cannot be combined with poll"),
    ],
)
def test_mistakes_name_the_key(keys: dict[str, Any], message: str) -> None:
    """And they say what to write instead."""
    with pytest.raises(ConfigError) as caught:
        plan(**keys)
    assert str(caught.value).startswith(f"API 'a': {message}")


@pytest.mark.parametrize(
    ("keys", "summary"),
    [
        (
            {"pages": {"next": "link", "max": 5}},
            "then the next pages, up to 5 in all, each by the URL in Link: rel=next",
        ),
        (
            {"pages": {"next": "m.n"}},
            "then the next pages, up to 100 in all, each by the URL at m.n",
        ),
        (
            {"pages": {"next": "m.n", "param": "c"}, "method": "GET"},
            "then the next pages, up to 100 in all, each by parameter c from m.n",
        ),
        (
            {"poll": {**POLL, "url": "/jobs/{_submitted.id}?key=secret"}},
            "then GET http://a.test/jobs/{_submitted.id}?key=*** every 2s, for up to 10m, until "
            "poll.until is true",
        ),
        (
            {"poll": {**POLL, "url": "{+_headers.location}", "max": "1h"}},
            "then GET the URL at _headers.location every 2s, for up to 1h, until poll.until is "
            "true",
        ),
    ],
)
def test_what_follows_is_told(keys: dict[str, Any], summary: str) -> None:
    """`explain` shows it beside the first request."""
    planned = plan(**keys)
    assert planned.series
    assert planned.series.summary == summary

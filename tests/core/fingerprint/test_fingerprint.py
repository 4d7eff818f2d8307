"""The fingerprint of the settings that shape results."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.config_file import API_KEYS
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.fingerprint.fingerprint import (
    MAX_SIZE,
    find_differences,
    take_fingerprint,
)
from tmux_fanout.core.fingerprint.shape import OF_APIS, OF_RUNS, shape_of

URL = "https://a.test/v1"

# Pace, failures, credentials and transport shape no result; whoever adds a key decides here.
OTHER_KEYS = {
    *("preset", "model", "prompt", "system", "max_tokens", "params"),  # turn into other keys
    "headers",
    "balance",
    "host_limit",
    "host_rate",
    "limit",
    "rate",
    "rate_group",
    "rate_headers",
    "cost",
    "spent",
    "price",
    "retry_on",
    "retry_when",
    "retries",
    "connect_timeout",
    "attempt_timeout",
    "timeout",
    "idempotent",
    "idempotency_key",
    "breaker",
    "hedge",
    "max_response",
    "compress",
    "auth",
    "tls",
    "proxy",
    "http2",
    "traceparent",
    "share",
    "cache",
    "transport",
}
OTHER_RUN_KEYS = {
    "total_limit",
    "chunk_size",
    "chunk_linger",
    "window",
    "window_bytes",
    "max_line",
    "unordered",
    "max_failures",
    "max_cost",
    "deadline",
    "drain_timeout",
    "on_down",
    "timings",
    "env_proxy",
}


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return what differs between an API with some keys and the same API with others."""
    before, after = (
        shape_of([Api("a", **{"url": URL, **keys})], RunSettings()) for keys in (one, other)
    )
    assert find_differences(take_fingerprint(before), before) == ""
    return find_differences(take_fingerprint(before), after)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("url", URL, "https://b.test/v1"),
        ("url", URL, URL + "{?id}"),
        ("url", URL + "?lang=de", URL + "?lang=en"),
        ("endpoints", ["https://a.test"], ["https://b.test"]),
        (
            "endpoints",
            [{"url": "https://a.test", "limit": 3}],
            ["https://a.test", "https://b.test"],
        ),
        ("connect_to", "a.test:80", "b.test:80"),
        ("connect_to", "${HERE}", "${THERE}"),
        ("socket", "/run/a.sock", "/run/b.sock"),
        ("files_root", "docs", "."),
        ("method", "POST", "PUT"),
        ("body", "x", "y"),
        ("body_format", "json", "form"),
        ("json", {"q": "{text}"}, {"q": "{id}"}),
        ("text", "{text}", "{id}"),
        ("select", "x", "y"),
        ("stream", "ndjson", "sse"),
        ("when", "x", "y"),
        ("after", ["b"], ["c"]),
        ("fallback_of", "b", "c"),
        ("batch", {"size": 5}, {"size": 5, "items": "x"}),
        ("batch", {"size": 5}, {"size": 5, "wrap": "{a: @}"}),
        ("pages", {"next": "link"}, {"next": "link", "items": "x"}),
        ("poll", {"url": "/{id}", "until": "x"}, {"url": "/{id}", "until": "y"}),
        ("ok_status", ["2xx"], ["2xx", 404]),
        ("ok_when", "x", "y"),
        ("capture_headers", ["etag"], ["etag", "date"]),
        ("redirects", 0, 1),
    ],
)
def test_what_shapes_results_is_compared(key: str, one: Any, other: Any) -> None:
    """Another value differs in either direction, and so does one where there was none."""
    expected = f"{key} of API 'a'"
    base = {"url": "/v1"} if key == "endpoints" else {}
    assert difference({**base, key: one}, {**base, key: other}) == expected
    assert difference({**base, key: other}, {**base, key: one}) == expected
    if key not in ("url", "endpoints"):
        assert difference({}, {**base, key: other}) == expected
        assert difference({**base, key: other}, {}) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"method": "POST"}, {"method": "post"}),
        ({"method": "post"}, {}),
        ({"connect_to": "A.test:80"}, {"connect_to": "a.test:80"}),
        ({"ok_status": ["2xx", 404]}, {"ok_status": (404, "2XX", 200)}),
        ({"ok_status": list(range(200, 300))}, {}),
        ({"capture_headers": ["ETag", "Date"]}, {"capture_headers": ["date", "etag"]}),
        ({"after": ["b", "c"]}, {"after": ["c", "b"]}),
        ({"batch": {"size": 5}}, {"batch": {"size": 9, "format": "json"}}),
        (
            {"endpoints": ["https://b.test", "https://a.test"], "url": "/x"},
            {
                "endpoints": [
                    {"url": "https://a.test", "limit": 9, "auth": {"bearer": "t"}},
                    "https://b.test",
                ],
                "url": "/x",
            },
        ),
    ],
)
def test_other_spellings_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What means the same does not differ."""
    assert difference(one, other) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": "https://u:old@a.test/?key=old"}, {"url": "https://v:new@a.test/?key=new"}),
        ({"headers": {"X-Api-Key": "old"}}, {"auth": {"bearer": "new"}}),
        ({"limit": 5, "timeout": 5}, {"rate": "5/s", "retries": 9}),
    ],
)
def test_secrets_and_pace_do_not_count(one: dict[str, Any], other: dict[str, Any]) -> None:
    """A renewed key and another pace give the same results."""
    assert difference(one, other) == ""


def test_every_setting_is_classified() -> None:
    """A new key either shapes results, and is in `OF_APIS` or `OF_RUNS`, or is listed above."""
    assert set(API_KEYS) == OF_APIS.keys() | OTHER_KEYS
    assert not OF_APIS.keys() & OTHER_KEYS
    of_run = set(RunSettings.__struct_fields__) - set(API_KEYS)
    assert of_run == set(OF_RUNS) | OTHER_RUN_KEYS


def test_all_differences_are_named() -> None:
    """Keys by API, APIs that only one side has, and settings of the run."""
    apis = [Api("a", URL), Api("b", URL, when="x"), Api("c", URL, fallback_of="a")]
    before = shape_of(apis, RunSettings())
    after = shape_of(
        [Api("a", "http://a.test/", select="x", method="PUT"), Api("b", URL)],
        RunSettings(join="first"),
    )
    expected = "url, method and select of API 'a', when of API 'b', API 'c', join"
    assert find_differences(take_fingerprint(before), after) == expected


def test_no_secret_is_kept() -> None:
    """Neither a value nor its digest: what is secret is hidden before."""
    keys: dict[str, Any] = {"headers": {"X-Api-Key": "s3cret"}, "auth": {"bearer": "s3cret"}}
    api = Api("a", "https://u:s3cret@a.test/?key=s3cret", **keys)
    assert "s3cret" not in repr(shape_of([api], RunSettings()))


@given(st.integers(1, 300), st.integers(0, 40))
def test_any_number_of_apis_fits(count: int, length: int) -> None:
    """However large the shape, the fingerprint is small, and still tells it from another."""
    apis = [Api(f"{'n' * length}{n}", URL, select="x", when="y", body="z") for n in range(count)]
    shape = shape_of(apis, RunSettings())
    fingerprint = take_fingerprint(shape)
    assert len(fingerprint) <= MAX_SIZE
    assert find_differences(fingerprint, shape) == ""
    other = shape_of([*apis[1:], Api(apis[0].name, URL, select="other")], RunSettings())
    assert find_differences(fingerprint, other) != ""


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff",
        b"null",
        b"[1]",
        b"{}",
        b'{"version":2,"settings":"x"}',
        b'{"version":"1"}',
        b'{"version":1}',
        b'{"version":1,"settings":null}',
        b'{"version":1,"settings":"x"}',
        b'{"version":1,"settings":{}}',
        b'{"version":1,"settings":{"run":{}}}',
        b'{"version":1,"settings":{"run":{},"apis":{},"more":{}}}',
        b'{"version":1,"settings":{"run":{},"apis":[]}}',
        b'{"version":1,"settings":{"run":{"join":1},"apis":{}}}',
        b'{"version":1,"settings":{"run":{},"apis":{"a":{"url":"x"}}}}',
        b'{"version":1,"settings":{"run":{},"apis":{"a":{"url":{}}}}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_fingerprint_differs_in_nothing(damaged: bytes) -> None:
    """An attribute of another program, or of a later version, is not compared."""
    assert find_differences(damaged, shape_of([Api("a", URL)], RunSettings())) == ""


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    )
)
def test_any_settings_can_be_compared(settings: Any) -> None:
    """Whatever stands in the attribute, comparing it gives at most a line."""
    text = msgspec.json.encode({"version": 1, "settings": settings})
    said = find_differences(text, shape_of([Api("a", URL)], RunSettings()))
    assert said == "" or said.isprintable()


def test_presets_are_compared_by_what_they_make() -> None:
    """Another prompt is another body, and a preset that is written out is the same."""
    keys: dict[str, Any] = {"preset": "mistral", "model": "m", "prompt": "{q}"}
    one, other = Api("a", **keys), Api("a", **{**keys, "prompt": "{r}"})
    written = {key: getattr(one, key) for key in API_KEYS}
    before, after, same = (
        shape_of([api], RunSettings()) for api in (one, other, Api("a", **written))
    )
    assert find_differences(take_fingerprint(before), after) == "json of API 'a'"
    assert find_differences(take_fingerprint(before), same) == ""

"""Explanations: the comments and commands for the calls of a record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from support.shells import curl_call, fake_curl

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.explain.explainer import Explainer
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.uploads.form import Identity, Upload

URL = "https://api.test/"
OAUTH2 = {
    "oauth2": {
        "token_url": "https://id.test/token",
        "client_id": "me",
        "client_secret": "${SECRET}",
        "scope": "all",
    }
}


def _inspect(upload: Upload) -> ErrorInfo | None:
    """Find files of 1,000 bytes, and none whose name begins with `no`."""
    for index, file in enumerate(upload.files):
        if file.filename.startswith("no"):
            return ErrorInfo("template", f"no file {file.filename}")
        upload.seen[index] = Identity(0, 0, 1000, 0)
    return None


def explain(
    apis: Sequence[Api], *records: bytes, env: dict[str, str] | None = None
) -> tuple[list[str], bool]:
    """Return the lines, and whether all records can be sent."""
    env = {"SECRET": "CANARY", **(env or {})}
    settings = RunSettings()
    explainer = Explainer(
        apis,
        settings,
        plan_run(apis, settings, env),
        env,
        nonce="abc",
        now=0.0,
        is_folder=lambda path: path.endswith("/"),
        inspect=_inspect,
    )
    lines: list[str] = []
    for index, record in enumerate(records):
        lines += explainer.explain(Record(index, record, record))
    lines += explainer.finish()
    assert "CANARY" not in "".join(lines)
    assert "abcn" not in "".join(lines)  # a placeholder that was not replaced
    return lines, explainer.all_ok


def comments(apis: Sequence[Api], *records: bytes) -> list[str]:
    return [line for line in explain(apis, *records)[0] if line.startswith("#")]


@pytest.mark.parametrize(
    ("keys", "is_compressed"),
    [({}, True), ({"method": "GET"}, False), ({"body_format": "multipart"}, False)],
)
def test_what_is_compressed_is_told(keys: dict[str, Any], is_compressed: bool) -> None:
    """Forms with files are sent as they are, and what has no body as well."""
    told = comments([Api("x", URL, compress="gzip", **keys)], b'{"a": 1}')
    assert ("compresses bodies" in "".join(told)) is is_compressed


def test_a_call_that_needs_results_is_not_shown() -> None:
    """A request that depends on results cannot be known; one that only waits is shown."""
    apis = [
        Api("a", URL),
        Api("b", URL, after=["a"], body="_results.a.body"),
        Api("c", f"{URL}{{_results.a.body.id}}", "GET", after=["b", "a"]),
        Api("d", URL, after=["a"]),
    ]
    lines, all_ok = explain(apis, b"{}")
    assert [line for line in lines if line.startswith("#")] == [
        "# record 0, a",
        "# record 0, b: after a: made from what comes back",
        "# record 0, c: after b and a: made from what comes back",
        "# record 0, d: after a",
    ]
    assert len(lines) == 6
    assert all_ok


def test_batches_share_a_command(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Full batches come at once, the last at the end; skipped records are in none."""
    api = Api("x", URL, batch={"size": 2}, when="@ != `2`", body="{n: @}")
    lines, _ = explain([api], b"1", b"2", b"3", b"4")
    assert [line for line in lines if line.startswith("#")] == [
        "# record 1, x: skipped by when",
        "# records 0 and 2, x",
        "# record 3, x",
    ]
    path = fake_curl(tmp_path_factory.mktemp("bin"))
    sent = [curl_call(line, path).after("--data-raw") for line in lines if line.startswith("curl")]
    assert sent == [['[{"n":1},{"n":3}]'], ['[{"n":4}]']]


def test_functions_are_called_and_the_time_is_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A command has what a run would send at that time."""
    api = Api("x", URL, body="{at: now(), user: from_json(payload).user, key: sha256(id)}")
    lines, all_ok = explain([api], b'{"payload": "{\\"user\\": 1.0}", "id": "a"}')
    assert all_ok
    path = fake_curl(tmp_path_factory.mktemp("bin"))
    [body] = curl_call(lines[-1], path).after("--data-raw")
    assert body.startswith('{"at":"1970-01-01T00:00:00.000Z","user":1.0,"key":"ca978112ca1bbdca')


def test_an_item_without_its_key_is_an_error() -> None:
    """The run would not send it either."""
    lines, all_ok = explain([Api("x", URL, batch={"size": 2, "key": "id"})], b"{}", b'{"id": 1}')
    assert lines[:2] == [
        "# record 0, x: template: the item to send has no field id, which batch.key names",
        "# record 1, x",
    ]
    assert not all_ok


def test_oauth2_shows_how_to_get_a_token() -> None:
    """The command for a token comes once; the others take it from the shell."""
    lines, _ = explain([Api("x", URL, auth=OAUTH2)], b"1", b"2")
    assert lines[1:3] == [
        "# x: ACCESS_TOKEN is the access_token in the response to:",
        "# curl --noproxy '*' -u me:\"${SECRET}\" --data-urlencode "
        "grant_type=client_credentials --data-urlencode scope=all https://id.test/token",
    ]
    assert len(lines) == 6
    assert all("-H 'Authorization: Bearer '\"${ACCESS_TOKEN}\"" in lines[n] for n in (3, 5))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "--compressed --max-time 30 --http1.1"),
        ({"attempt_timeout": 5, "timeout": 2.5}, "--max-time 2.5"),
        ({"attempt_timeout": 5, "timeout": 20}, "--max-time 5"),
        ({"tls": {"ca": "/a b.pem"}}, "--cacert '/a b.pem'"),
        ({"tls": {"ca": "/certs/"}}, "--capath /certs/"),
        ({"tls": {"cert": "c.pem", "key": "k.pem"}}, "--cert c.pem --key k.pem"),
        ({"tls": {"verify": False}}, "--insecure"),
        ({"http2": True}, "--http2"),
        ({"proxy": "http://a:${SECRET}@b:1"}, '--proxy http://a:"${SECRET}"@b:1'),
        ({"auth": {"basic": ["me", "${SECRET}"]}}, '-u me:"${SECRET}"'),
    ],
)
def test_options_of_curl(settings: dict[str, Any], words: str) -> None:
    """Settings of the API become options of curl."""
    (_, line), _ = explain([Api("x", URL, **settings)], b"1")
    assert re.search(rf"(?<= ){re.escape(words)}(?= )", line)
    assert "Authorization" not in line


def test_remarks_come_once() -> None:
    """A remark says what a command cannot do as the run does."""
    api = Api("x", "/v1", endpoints=["https://a.test", "https://b.test/v2"], redirects=2)
    assert comments([api], b"1", b"2") == [
        "# record 0, x",
        "# x: or to https://b.test/v2",
        "# x: a run follows up to 2 redirects within the origin, curl none".replace(";", ";"),
        "# record 1, x",
    ]


def test_the_first_endpoint_is_shown_with_its_own_credentials() -> None:
    """Of the others it says what they have of their own."""
    endpoints: list[Any] = [
        {"url": "https://a.test", "auth": {"basic": ["me", "${SECRET}"]}, "headers": {"X-A": "1"}},
        {"url": "https://a.test", "auth": {"bearer": "CANARY"}, "headers": {"X-Key": "CANARY"}},
        {"url": "https://b.test", "limit": 3},
    ]
    apis = [Api("x", "/v1", "GET", {"X-A": "0"}, endpoints=endpoints, auth={"bearer": "CANARY"})]
    lines, _ = explain(apis, b"1")
    others = "https://a.test (with auth and headers of its own), https://b.test"
    assert lines[:2] == ["# record 0, x", f"# 'x: or to {others}'"]
    assert """ -u me:"${SECRET}" """ in lines[2]
    assert lines[2].endswith(" -H 'X-A: 1'")


def test_another_endpoint_shows_no_value() -> None:
    api = Api("x", "/v1", endpoints=["https://a.test", "https://b.test/${SECRET}"])
    assert comments([api], b"1")[1] == "# 'x: or to https://b.test/${SECRET}'"


def test_a_message_shows_no_value() -> None:
    """Only the part of a URL that comes from the record is shown."""
    apis = [
        Api("x", f"{URL}${{SECRET}}/{{id}}", "GET"),
        Api("y", "${HOOK}{id}", "GET"),
    ]
    lines, all_ok = explain(apis, b'{"id": ".."}', env={"HOOK": "https://api.test/CANARY/"})
    assert lines == [
        "# \"record 0, x: template: url: the record would add a path segment '..'\"",
        "# record 0, y: template: the record does not fit the URL or a header",
    ]
    assert not all_ok


def test_invalid_record_is_a_comment() -> None:
    """The comment says why."""
    apis, settings = [Api("x", URL)], RunSettings()
    plan = plan_run(apis, settings, {})
    explainer = Explainer(
        apis, settings, plan, {}, nonce="abc", now=0.0, is_folder=bool, inspect=_inspect
    )
    record = Record(3, b"", b"", ErrorInfo("invalid_record", "line 4: not JSON; it is `no`"))
    assert list(explainer.explain(record)) == [
        "# 'record 3: invalid_record: line 4: not JSON; it is `no`'"
    ]
    assert not explainer.all_ok
    assert repr(explainer) == "<Explainer: 1 APIs>"

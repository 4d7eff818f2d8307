"""APIs that announce their end, over real connections."""

from __future__ import annotations

import json

import pytest
from support.command import records, run
from support.loopback import Loopback

LINE = b"a has been deprecated since 2023-06-30 and will be switched off on 2999-12-31; see %b/v2"
HEADERS = {
    "Deprecation": "@1688169599",
    "Sunset": "Tue, 31 Dec 2999 23:59:59 GMT",
    "Link": '</v2>; rel="deprecation"',
}


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--transport", "httpx")])
def test_run_says_it_once_and_in_the_summary(server: Loopback, options: tuple[str, ...]) -> None:
    """One line while the run lasts, and one object in the summary for programs."""
    server.more_headers = HEADERS
    args = ("-a", f"a={server.url('/v1')}", "--summary", "json", *options)
    done = run(*args, stdin=records(300))
    assert done.returncode == 0
    line, summary = done.stderr.splitlines()
    assert line == b"tmux-fanout: " + LINE % server.url("").encode()
    assert json.loads(summary)["apis"]["a"]["deprecation"] == {
        "deprecated": True,
        "since": "2023-06-30T23:59:59Z",
        "sunset": "2999-12-31T23:59:59Z",
        "links": [server.url("/v2")],
    }


def test_summary_for_people_has_it(server: Loopback) -> None:
    """Also where the line was not seen, or is far above."""
    server.more_headers = HEADERS
    done = run("-a", f"a={server.url('/v1')}", "--summary", "table", stdin=records(3))
    assert done.stderr.count(LINE % server.url("").encode()) == 2


def test_summary_of_other_apis_has_nothing_of_it(server: Loopback) -> None:
    """No key, and no line."""
    done = run("-a", f"a={server.url('/v1')}", "--summary", "json", stdin=records(3))
    [summary] = done.stderr.splitlines()
    assert "deprecation" not in json.loads(summary)["apis"]["a"]

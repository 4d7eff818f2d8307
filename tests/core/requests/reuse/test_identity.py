"""Which requests are identical."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin, Request, RequestHead
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.reuse.identity import Identity

ORIGIN = Origin("http", "h", 80)


def identities(*records: bytes, **keys: Any) -> list[bytes]:
    """Return the identities of the requests for some records."""
    api = Api("a", **{"url": "http://h/", "share": True, **keys})
    builder = plan_run([api], RunSettings(), {}).apis[0].requests
    identity = Identity(builder)
    found = []
    for index, json in enumerate(records):
        request = builder.build(Record(index, json, json))
        assert isinstance(request, Request)
        found.append(identity.of(request))
    return found


@pytest.mark.parametrize(
    ("keys", "are_same"),
    [
        ({}, False),
        ({"body": "t"}, True),
        ({"body": "t", "url": "http://h/{n}"}, False),
        ({"body": "t", "url": "http://h/{t}"}, True),
        ({"body": "t", "headers": {"X-A": "{n}"}}, False),
        ({"body": "t", "headers": {"X-A": "{t}"}}, True),
        ({"body": "t", "idempotency_key": True}, True),
        ({"body": "t", "idempotency_key": "{n}"}, False),
        ({"body": "t", "idempotency_key": "{t}"}, True),
        ({"method": "GET"}, True),
        ({"method": "GET", "url": "http://h/{?n}"}, False),
        ({"method": "GET", "url": "http://{n}.h/", "hosts": ["*.h"]}, False),
        ({"method": "GET", "url": "http://{t}.h/", "hosts": ["*.h"]}, True),
    ],
)
def test_requests_are_identical_by_method_url_headers_and_body(
    keys: dict[str, Any], are_same: bool
) -> None:
    """What differs in the request counts, and not what differs in the record alone."""
    one, two = identities(b'{"n":"1","t":"x"}', b'{"n":"2","t":"x"}', **keys)
    assert (one == two) is are_same


def test_derived_key_counts_among_headers_of_the_user() -> None:
    """A header of the user's own is compared, whatever its name."""
    one, two = identities(b'{"n":1}', b'{"n":2}', body="'x'", headers={"Idempotency-Key": "{n}"})
    assert one != two


_parts = st.tuples(
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["/", "/a", "/a?b"]),
    st.lists(st.tuples(st.sampled_from(["A", "AB"]), st.sampled_from(["", "B", "BB"])), max_size=3),
    st.sampled_from([None, b"", b"x", b"-", b"+"]),
    st.booleans(),
)


@given(st.lists(_parts, max_size=8))
def test_no_two_requests_are_confused(parts: list[Any]) -> None:
    """Requests have the same identity only if all of their parts are the same."""
    identity = Identity(RequestBuilder(method="GET", origin=ORIGIN, target="/", headers=()))
    seen: dict[bytes, Any] = {}
    for method, target, headers, body, is_shared in parts:
        head = RequestHead(method, ORIGIN, target, tuple(headers), is_shared)
        whole = (method, target, tuple((name.lower(), value) for name, value in headers), body)
        for _ in range(2):
            assert seen.setdefault(identity.of(Request(head, body)), whole) == whole


def test_share_needs_jobs_that_can_be_the_same() -> None:
    """Jobs that are asked for with fields of the record are never the same."""
    for url in ("/jobs/{id}?j={_submitted.id}", "{+job_url}"):
        with pytest.raises(ConfigError, match=r"share: poll\.url has fields of the record"):
            identities(b"1", poll={"url": url, "until": "done"})
    poll = {"url": "/jobs/{_submitted.id}", "until": "done"}
    one, two = identities(b'{"n":1,"t":2}', b'{"n":2,"t":2}', body="t", poll=poll)
    assert one == two

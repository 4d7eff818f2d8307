"""The header `traceparent`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.messages import Origin, Request, RequestHead
from tmux_fanout.core.tracing.traceparent import (
    find_traceparent,
    trace_id_of,
    traceparent,
    with_traceparent,
)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def hexadecimal(size: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size, max_size=size).filter(any).map(bytes.hex)


@given(hexadecimal(16), hexadecimal(8))
def test_trace_of_a_header_is_the_one_it_was_made_of(trace: str, parent: str) -> None:
    """Whatever the ids are."""
    assert trace_id_of(traceparent(trace, parent)) == trace


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-00", TRACE),
        (f" 00-{TRACE}-{PARENT}-03\t", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-has", TRACE),
        (f"cc-{TRACE}-{PARENT}-01.what", ""),
        (f"00-{TRACE}-{PARENT}-01-more", ""),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE[1:]}-{PARENT}-01", ""),
        (f"{TRACE}-{PARENT}", ""),
        ("", ""),
    ],
)
def test_only_valid_headers_name_a_trace(value: str, trace: str) -> None:
    """A later version may have more fields (section 3.2.4)."""
    assert trace_id_of(value) == trace


def test_header_is_added_to_a_request_of_its_own() -> None:
    """The request that it is made of has the head that others share, and stays as it is."""
    head = RequestHead("POST", Origin("http", "a.test", 80), "/x", (("A", "b"),), is_shared=True)
    request = Request(head, b"{}")
    traced = with_traceparent(request, "00-1")
    assert traced.head.headers == (("A", "b"), ("traceparent", "00-1"))
    assert not traced.head.is_shared
    assert (traced.body, traced.head.url) == (b"{}", "http://a.test/x")
    assert head.headers == (("A", "b"),)
    assert find_traceparent(head.headers) is None
    assert find_traceparent((("TraceParent", "x"),)) == "x"

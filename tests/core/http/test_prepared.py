"""The cache for request heads: small, and without data of records."""

from __future__ import annotations

from tmux_fanout.core.http.messages import Endpoint, Origin, RequestHead
from tmux_fanout.core.http.prepared import Prepared

A, B = Origin("http", "a.test", 80), Origin("http", "b.test", 80)


def head(target: str, *, is_shared: bool) -> RequestHead:
    return RequestHead("GET", A, target, (("Host", "a.test"),), is_shared)


def test_prepared_keeps_what_is_made_of_a_shared_head() -> None:
    """It is computed once; an equal head is a different head."""
    made: list[str] = []

    def make(head: RequestHead) -> int:
        made.append(head.target)
        return len(made)

    prepared = Prepared(make)
    one, other = head("/", is_shared=True), head("/", is_shared=True)
    assert [prepared[one], prepared[one], prepared[other], prepared[one]] == [1, 1, 2, 1]
    assert made == ["/", "/"]


def test_prepared_keeps_nothing_of_a_head_with_a_record_in_it() -> None:
    """It is not sent again, and may be as large as the record."""
    prepared = Prepared(lambda head: head.target)
    assert [prepared[head(f"/{n}", is_shared=False)] for n in range(3)] == ["/0", "/1", "/2"]
    assert len(prepared) == 0


def test_prepared_keeps_few_heads() -> None:
    """A run of weeks gets a new token, and so new heads, every hour."""
    prepared = Prepared(lambda head: head.target)
    for n in range(1000):
        assert prepared[head(f"/{n}", is_shared=True)] == f"/{n}"
    assert len(prepared) < 100
    assert repr(prepared) == f"<Prepared: {len(prepared)} heads>"


def endpoint(origin: Origin, prefix: str, *headers: tuple[str, str]) -> Endpoint:
    own = (("Host", origin.authority), *headers)
    return Endpoint(name=str(origin), origin=origin, prefix=prefix, headers=own)


def test_moved_says_of_a_head_what_the_original_says() -> None:
    """A head with data of a record has it at any endpoint."""
    for is_shared in (False, True):
        moved = head("/v1/x", is_shared=is_shared).moved(endpoint(A, "/v1"), endpoint(B, "/v2"))
        assert (moved.target, moved.headers) == ("/v2/x", (("Host", "b.test"),))
        assert moved.is_shared == is_shared


def test_moved_leaves_no_header_of_the_old_endpoint() -> None:
    """Headers with data of the record follow those of the endpoint, and stay."""
    old = endpoint(A, "", ("Authorization", "Bearer one"), ("X-Region", "eu"))
    new = endpoint(B, "", ("Authorization", "Bearer two"))
    of_record = ("X-Id", "7")
    there = RequestHead("GET", A, "/", (*old.headers, of_record)).moved(old, new)
    assert there.headers == (*new.headers, of_record)
    assert there.moved(new, old).headers == (*old.headers, of_record)

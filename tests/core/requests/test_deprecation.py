"""What responses say of the end of an API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.requests.lifecycle.deprecation import (
    Deprecation,
    announces,
    deprecation_of,
    timestamp,
)

ORIGIN = Origin("https", "a.test", 443)
SINCE = 1688169599.0  # the example of RFC 9745
DATE = b"Fri, 30 Jun 2023 23:59:59 GMT"
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "deprecated", "since"),
    [
        (b"@1688169599", True, SINCE),
        (b" @1688169599 ", True, SINCE),
        (b"@1688169599;a=b", True, SINCE),
        (b"@-1", True, -1.0),
        (b"true", True, None),
        (b"?1", True, None),
        (DATE, True, SINCE),
        (b"Friday, 30-Jun-23 23:59:59 GMT", True, SINCE),
        (b'version="v1"', True, None),
        (b"@999999999999999", True, None),
        (b"@1e5", True, None),
        (b"\xff" * 1000, True, None),
        (b"false", False, None),
        (b"?0", False, None),
        (b"", False, None),
    ],
)
def test_deprecation_has_old_and_new_forms(
    value: bytes, deprecated: bool, since: float | None
) -> None:
    """RFC 9745 has dates of structured fields; its drafts had `true` and HTTP dates."""
    assert announces([(b"deprecation", value)])
    found = deprecation_of([(b"deprecation", value)], ORIGIN)
    assert found == (Deprecation(True, since) if deprecated else None)


@pytest.mark.parametrize(
    ("value", "sunset"),
    [(DATE, SINCE), (b'"%b"' % DATE, SINCE), (b"soon", None), (b"", None), (b"@1", None)],
)
def test_sunset_is_an_http_date(value: bytes, sunset: float | None) -> None:
    """RFC 8594; another value says nothing, and is no deprecation either."""
    found = deprecation_of([(b"sunset", value)], ORIGIN)
    assert found == (None if sunset is None else Deprecation(False, None, sunset))


@pytest.mark.parametrize(
    ("link", "urls"),
    [
        (b'<https://a.test/d>; rel="deprecation"; type="text/html"', ("https://a.test/d",)),
        (b"</d>; rel=sunset", ("https://a.test/d",)),
        (b'</d>; rel="next", </e>; rel="x SUNSET"', ("https://a.test/e",)),
        (b"</d>; rel=sunset, </d>; rel=deprecation", ("https://a.test/d",)),
        (b"<https://u:pw@a.test/?key=s3cret>; rel=sunset", ("https://***:***@a.test/?key=***",)),
        (b"<javascript:alert(1)>; rel=sunset", ()),
        (b"<d>; rel=sunset", ()),
        (b"<https://a.test/\x1b[2J>; rel=sunset", ("https://a.test/\\x1b[2J",)),
        (b"<broken", ()),
        (b'</d>; rel=deprecation; anchor="/other"', ()),
    ],
)
def test_links_are_whole_urls_without_secrets(link: bytes, urls: tuple[str, ...]) -> None:
    """They are for people: what a browser would not open, or a terminal obey, is left out."""
    found = deprecation_of([(b"deprecation", b"true"), (b"link", link)], ORIGIN)
    assert found is not None
    assert found.links == urls


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (Deprecation(True), "a is deprecated"),
        (Deprecation(True, SINCE), "a has been deprecated since 2023-06-30"),
        (Deprecation(True, NOW + 86400), "a will be deprecated on 2023-11-15"),
        (Deprecation(False, None, NOW + 86400), "a will be switched off on 2023-11-15"),
        (Deprecation(False, None, SINCE), "a was due to be switched off on 2023-06-30"),
        (
            Deprecation(True, SINCE, NOW + 1, ("https://a.test/d", "https://a.test/s")),
            "a has been deprecated since 2023-06-30 and will be switched off on 2023-11-14;"
            " see https://a.test/d and https://a.test/s",
        ),
    ],
)
def test_sentence(found: Deprecation, sentence: str) -> None:
    """It says what was, what will be, and where to read on."""
    assert found.sentence("a", NOW) == sentence


def test_other_headers_announce_nothing() -> None:
    """A plain response is not looked at any further."""
    assert not announces([(b"date", DATE), (b"x-deprecation", b"true")])
    assert deprecation_of([(b"date", DATE)], ORIGIN) is None
    assert timestamp(SINCE) == "2023-06-30T23:59:59Z"


@given(st.lists(st.tuples(st.sampled_from([b"deprecation", b"sunset", b"link"]), st.binary())))
def test_no_header_is_an_error(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever a server sends, there is a printable sentence or none."""
    found = deprecation_of(headers, ORIGIN)
    assert found is None or found.sentence("a", NOW).isprintable()

"""Redirects: which are followed, and where to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.redirects import Followed, follow

ORIGIN = Origin("http", "a.test", 8080)
HEADERS = (
    ("Host", "a.test:8080"),
    ("Content-Type", "application/json"),
    ("content-encoding", "gzip"),
    ("Authorization", "Bearer x"),
)


def request(
    method: str = "POST", target: str = "/dir/page?q=1", origin: Origin = ORIGIN
) -> Request:
    return Request(RequestHead(method, origin, target, HEADERS), b"{}" if method != "GET" else None)


def redirect(location: bytes, status: int = 307) -> Response:
    return Response(status, [(b"location", location)], b"", 0)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/new", "/new"),
        (b"next", "/dir/next"),
        (b"../up", "/up"),
        (b"../../../../up", "/up"),
        (b"?page=2", "/dir/page?page=2"),
        (b"http://a.test:8080/x?y=1", "/x?y=1"),
        (b"HTTP://A.TEST:8080/x", "/x"),
        (b"http://a.test:8080", "/"),
        (b"//a.test:8080/x", "/x"),
        (b"/x#fragment", "/x"),
        (b"#fragment", "/dir/page?q=1"),
        (b" /padded\t", "/padded"),
        (b"/a b", "/a%20b"),
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b'/\xff\x01\x7f"<>\\^`{|}', "/%FF%01%7F%22%3C%3E%5C%5E%60%7B%7C%7D"),
        (b"/%7e%2F", "/%7e%2F"),
        (b"\\\\evil.test/x", "/dir/%5C%5Cevil.test/x"),
        (b"/\\evil.test/x", "/%5Cevil.test/x"),
        (b"\thttp://a.test:8080/x", "/x"),
        (b"ht\ttp:x", "/dir/ht%09tp:x"),
        (b"http://user:secret@a.test:8080/x", "/x"),
        (b"./a:b", "/dir/a:b"),
    ],
)
def test_follow_resolves_a_reference(location: bytes, target: str) -> None:
    """RFC 3986, section 5; characters are encoded as needed, userinfo is dropped."""
    step = follow(request(), redirect(location))
    assert isinstance(step, Followed)
    head = step.request.head
    assert (head.origin, head.target, head.headers) == (ORIGIN, target, HEADERS)


# RFC 3986, section 5.4, but for what leads to other origins; the base is /b/c/d;p?q.
EXAMPLES = {
    "g": "/b/c/g",
    "./g": "/b/c/g",
    "g/": "/b/c/g/",
    "/g": "/g",
    "?y": "/b/c/d;p?y",
    "g?y": "/b/c/g?y",
    "#s": "/b/c/d;p?q",
    "g#s": "/b/c/g",
    "g?y#s": "/b/c/g?y",
    ";x": "/b/c/;x",
    "g;x": "/b/c/g;x",
    "g;x?y#s": "/b/c/g;x?y",
    ".": "/b/c/",
    "./": "/b/c/",
    "..": "/b/",
    "../": "/b/",
    "../g": "/b/g",
    "../..": "/",
    "../../": "/",
    "../../g": "/g",
    "../../../g": "/g",
    "../../../../g": "/g",
    "/./g": "/g",
    "/../g": "/g",
    "g.": "/b/c/g.",
    ".g": "/b/c/.g",
    "g..": "/b/c/g..",
    "..g": "/b/c/..g",
    "./../g": "/b/g",
    "./g/.": "/b/c/g/",
    "g/./h": "/b/c/g/h",
    "g/../h": "/b/c/h",
    "g;x=1/./y": "/b/c/g;x=1/y",
    "g;x=1/../y": "/b/c/y",
    "g?y/./x": "/b/c/g?y/./x",
    "g?y/../x": "/b/c/g?y/../x",
    "g#s/../x": "/b/c/g",
    "http:g": "/b/c/g",
    "//a.test:8080/g": "/g",
    "//a.test:8080?y": "/?y",
    "HTTP:?y": "/b/c/d;p?y",
    "g?": "/b/c/g?",
    "///g": "/g",
}


@pytest.mark.parametrize(("reference", "target"), EXAMPLES.items())
def test_follow_resolves_the_examples_of_the_standard(reference: str, target: str) -> None:
    """A scheme without an authority is ignored, as the standard allows."""
    step = follow(request(target="/b/c/d;p?q"), redirect(reference.encode()))
    assert isinstance(step, Followed)
    assert step.request.head.target == target


OTHER_ORIGIN = "its redirect to another origin is not followed"
OTHER_SCHEME = "its redirect to another scheme is not followed"
NO_URL = "its Location is not a URL"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        (b"http://evil.test/c4n4ry?c4n4ry", OTHER_ORIGIN),
        (b"http://a.test:8081/", OTHER_ORIGIN),
        (b"http://a.test/", OTHER_ORIGIN),
        (b"//evil.test/", OTHER_ORIGIN),
        (b"https://evil.test/", OTHER_ORIGIN),
        (b"http://a.test.evil.test:8080/", OTHER_ORIGIN),
        (b"http://a.test:8080@evil.test/", OTHER_ORIGIN),
        (b"http://evil.test#@a.test:8080/", OTHER_ORIGIN),
        (
            b"https://a.test/x",
            "its redirect from http to https is not followed; use https in the URL",
        ),
        (b"file:///etc/passwd", OTHER_SCHEME),
        (b"javascript:alert(1)", OTHER_SCHEME),
        (b"ftp://a.test:8080/", OTHER_SCHEME),
        (b"http://[", NO_URL),
        (b"http://a.test:port/", NO_URL),
        (b"http://a.test:99999/", NO_URL),
        (b"https:x", NO_URL),
        (b"http://ev%69l.test/", NO_URL),
        (b"http://evil\\.test/", NO_URL),
        (b"", "its redirect has no Location"),
        (b"  ", "its redirect has no Location"),
    ],
)
def test_follow_stays_on_its_origin(location: bytes, why: str) -> None:
    """The reason quotes nothing of the Location."""
    assert follow(request(), redirect(location)) == why


def test_follow_does_not_leave_tls() -> None:
    """Not even for the same host."""
    secure = request(origin=Origin("https", "a.test", 443))
    step = follow(secure, redirect(b"http://a.test/"))
    assert step == "its redirect from https to http is not followed"


@pytest.mark.parametrize(
    ("locations", "why"),
    [([], "its redirect has no Location"), ([b"/a", b"/b"], "it has several Locations")],
)
def test_follow_wants_one_location(locations: list[bytes], why: str) -> None:
    """A redirect without one, or with two that differ, is not followed."""
    response = Response(302, [(b"location", location) for location in locations], b"", 0)
    assert follow(request(), response) == why


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (303, "HEAD", "HEAD"),
        (303, "GET", "GET"),
        (301, "GET", "GET"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (302, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_follow_turns_some_methods_into_get(status: int, method: str, then: str) -> None:
    """The body and its headers are dropped; the rest stays."""
    before = request(method)
    step = follow(before, redirect(b"/new", status))
    assert isinstance(step, Followed)
    assert step.request.head.method == then
    assert step.answered == (method != then)
    if method == then:
        assert (step.request.body, step.request.head.headers) == (before.body, HEADERS)
    else:
        assert step.request.body is None
        assert step.request.head.headers == (HEADERS[0], HEADERS[3])


@given(
    st.binary(max_size=60), st.sampled_from([b"", b"/", b"//", b"http://", b"http://a.test:8080"])
)
def test_follow_gives_a_request_line_or_a_reason(tail: bytes, start: bytes) -> None:
    """Any bytes in a Location give a valid request line or a refusal."""
    step = follow(request(), redirect(start + tail))
    if isinstance(step, str):
        assert step.isprintable()
    else:
        head = step.request.head
        assert head.origin == ORIGIN
        assert head.target.startswith("/")
        assert head.target.isascii()
        assert head.target.isprintable()
        assert not set(' #"<>\\^`{|}').intersection(head.target)


@pytest.mark.parametrize(
    ("host", "location", "followed"),
    [
        ("fe80::1%eth0", b"/x", True),
        ("fe80::1%eth0", b"http://[fe80::1]:8080/x", True),
        ("fe80::1%eth0", b"http://[FE80::1%25eth0]:8080/x", True),
        ("fe80::1%eth0", b"http://[fe80::2]:8080/x", False),
        ("xn--fa-hia.test", "http://faß.test:8080/x".encode(), True),
        ("xn--fa-hia.test", b"http://fa%C3%9F.test:8080/x", True),
        ("xn--fa-hia.test", b"http://fass.test:8080/x", False),
        ("a.test.", b"/x", True),
        ("a.test.", b"http://a.test.:8080/x", True),
        ("a.test", b"http://a.test.:8080/x", False),  # which may be another one
    ],
)
def test_follow_compares_hosts_as_they_are_on_the_wire(
    host: str, location: bytes, followed: bool
) -> None:
    """A server does not know the zone, and may spell its name in any way."""
    step = follow(request(origin=Origin("http", host, 8080)), redirect(location))
    if followed:
        assert isinstance(step, Followed)
        assert (step.request.head.origin.host, step.request.head.target) == (host, "/x")
    else:
        assert step == "its redirect to another origin is not followed"


@pytest.mark.parametrize("status", [303, 307])
def test_follow_keeps_the_client_that_has_the_token(status: int) -> None:
    """The request after a redirect is authorized as the one before it."""
    client = OAuth2(token_url="https://id.test/", client_id="me", client_secret="x")
    head = RequestHead("POST", ORIGIN, "/", HEADERS, auth=client)
    step = follow(Request(head, b"{}"), redirect(b"/new", status))
    assert isinstance(step, Followed)
    assert step.request.head.auth == client

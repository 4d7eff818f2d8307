"""The four spellings of a host, and texts that are not hosts."""

from __future__ import annotations

import pytest

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.hosts import tls_host, url_host, wire_host
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.proxies import listed, parse_proxy
from tmux_fanout.core.http.urls import parse_url


@pytest.mark.parametrize(
    ("written", "resolver", "wire", "tls"),
    [
        ("A.Test", "a.test", "a.test", "a.test"),
        ("a.test.", "a.test.", "a.test.", "a.test"),  # curl/curl#8320: the dot is for all but TLS
        ("my_service-1", "my_service-1", "my_service-1", "my_service-1"),
        ("-a-.test", "-a-.test", "-a-.test", "-a-.test"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0x7f.1", "0x7f.1", "0x7f.1", "0x7f.1"),
        ("[::1]", "::1", "[::1]", "::1"),
        ("[2001:DB8::ffff:1.2.3.4]", "2001:db8::ffff:1.2.3.4", "[2001:db8::ffff:1.2.3.4]", None),
        ("[fe80::1%25eth0]", "fe80::1%eth0", "[fe80::1]", "fe80::1"),  # aio-libs/yarl#1862
        ("[FE80::1%25Eth0.1]", "fe80::1%Eth0.1", "[fe80::1]", "fe80::1"),
        ("[fe80::1%eth0]", "fe80::1%eth0", "[fe80::1]", "fe80::1"),
        ("[fe80::1%2]", "fe80::1%2", "[fe80::1]", "fe80::1"),
        ("[fe80::1%25]", "fe80::1%25", "[fe80::1]", "fe80::1"),
        ("[fe80::1%2525]", "fe80::1%25", "[fe80::1]", "fe80::1"),
        ("faß.test", "xn--fa-hia.test", "xn--fa-hia.test", "xn--fa-hia.test"),  # encode/httpx#150
        ("FAß.Test.", "xn--fa-hia.test.", "xn--fa-hia.test.", "xn--fa-hia.test"),
        ("fa%C3%9F.test", "xn--fa-hia.test", "xn--fa-hia.test", "xn--fa-hia.test"),
        ("βόλος.test", "xn--nxasmm1c.test", "xn--nxasmm1c.test", "xn--nxasmm1c.test"),
        ("日本語。ＴＥＳＴ", "xn--wgv71a119e.test", "xn--wgv71a119e.test", None),
        ("１２７｡0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("bücher.a_b.test", "xn--bcher-kva.a_b.test", "xn--bcher-kva.a_b.test", None),
        # What UTS 46 allows and IDNA 2008 alone does not.
        ("i❤.ws", "xn--i-7iq.ws", "xn--i-7iq.ws", "xn--i-7iq.ws"),
        ("💩.LA.", "xn--ls8h.la.", "xn--ls8h.la.", "xn--ls8h.la"),  # kjd/idna#18
        ("%F0%9F%92%A9.test", "xn--ls8h.test", "xn--ls8h.test", "xn--ls8h.test"),
        ("☃.net", "xn--n3h.net", "xn--n3h.net", "xn--n3h.net"),  # kjd/idna#40
        ("A_ß.test", "xn--a_-hia.test", "xn--a_-hia.test", "xn--a_-hia.test"),
        ("xn--fa-hia.test", "xn--fa-hia.test", "xn--fa-hia.test", "xn--fa-hia.test"),
        ("XN--ls8h.test", "xn--ls8h.test", "xn--ls8h.test", "xn--ls8h.test"),  # psf/requests#3687
        ("xn--.test", "xn--.test", "xn--.test", "xn--.test"),
        ("ab--c.test", "ab--c.test", "ab--c.test", "ab--c.test"),
        (f"{'a' * 63}.test", f"{'a' * 63}.test", f"{'a' * 63}.test", None),
        ("a." * 126 + "b.", "a." * 126 + "b.", "a." * 126 + "b.", "a." * 126 + "b"),
    ],
    ids=ascii,
)
def test_spellings_of_a_host(written: str, resolver: str, wire: str, tls: str | None) -> None:
    """Each place has its own; a host in a URL survives being formatted as a URL again."""
    origin, _, _ = parse_url(f"http://u:p@{written}:81/x")
    assert origin == Origin("http", resolver, 81)
    assert (wire_host(origin.host), tls_host(origin.host)) == (wire, tls or resolver)
    assert origin.authority == f"{wire}:81"
    assert parse_url(origin.url)[0] == origin
    assert parse_url(f"https://{url_host(origin.host)}")[0] == Origin("https", resolver, 443)
    assert parse_proxy(f"{written}:81", "proxy").origin == origin


INVALID = "its host is not a valid name; write its ASCII form, such as xn--..."
PARTS = "each part of its host, between two dots, must have 1 to 63 characters"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        *((host, PARTS) for host in ("a..b", ".a", ".", "..", "a..", "a..é", "é..", "。")),
        *((host, PARTS) for host in ("a" * 64, f"a.{'b' * 64}.c", "ü" * 64)),
        *(
            (host, "its host must have 253 characters at most")
            for host in ("a." * 127 + "b", "é." * 60)
        ),
        *((host, PARTS) for host in ("☃" * 64, "💩" * 60)),
        *(
            (host, INVALID)
            for host in (
                *("a\u200db.test", "☃\u200d.test", "👨\u200d👩.test", "xn--faß.test", "xn--☃"),
                *("\u202eh", "h\x85", "ab--ü.test", "ab--☃", "-☃", "☃-", "\u0301☃", "א☃a", "☃א"),
                *("ß=", "a,☃", "a*☃"),
            )
        ),
    ],
    ids=ascii,
)
def test_names_that_cannot_be(host: str, why: str) -> None:
    """The error is clear, and quotes nothing else of the URL."""
    with pytest.raises(ConfigError) as caught:
        parse_url(f"http://me:secret@{host}/")
    assert str(caught.value) == f"url: {why}"


@pytest.mark.parametrize(
    "host",
    [
        *("a%2eb", "a%2Fb", "%61.test", "a%00b", "%FF.test", "%C3.test", "a%", "a%zz"),
        *("[fe80::1%25]x", "[fe80::1%]", "[fe80::1%25e/0]", "[fe80::1%25e%00]", "[fe80::1%25é]"),
        *("[1.2.3.4]", "[::g]", "[:::]", "[%25eth0]", "[::1", "a b", "a,b"),
    ],
    ids=ascii,
)
def test_what_is_no_host(host: str) -> None:
    """Percent-encoded ASCII could be misread, and is never needed."""
    with pytest.raises(ConfigError):
        parse_url(f"http://{host}/")


@pytest.mark.parametrize(
    ("host", "no_proxy", "covered"),
    [
        ("faß.test", "faß.test", True),
        ("a.faß.test", ".FAß.test", True),
        ("faß.test", "xn--fa-hia.test", True),
        ("fass.test", "faß.test", False),
        ("a.test.", "a.test", True),
        ("[fe80::1%25eth0]", "fe80::/10", True),
        ("a.test", "ab--ü.test, a.test", True),
        ("💩.test", "xn--ls8h.test", True),
    ],
)
def test_hosts_of_no_proxy(host: str, no_proxy: str, covered: bool) -> None:
    """They are compared in the form for the resolver."""
    origin, _, _ = parse_url(f"http://{host}")
    assert listed(origin.host, no_proxy) is covered

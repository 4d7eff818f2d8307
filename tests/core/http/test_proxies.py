"""The choice of the proxy for an origin, by curl's rules."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.proxies import listed, parse_proxy, proxy_for

PLAIN = Origin("http", "api.example.com", 80)
SECURE = Origin("https", "api.example.com", 443)

# The environment, and the variable that counts for http and for https.
CHOSEN: list[tuple[dict[str, str], str | None, str | None]] = [
    ({}, None, None),
    ({"http_proxy": "p:1"}, "http_proxy", None),
    ({"HTTP_PROXY": "p:1"}, None, None),  # may come from a request, under CGI
    ({"https_proxy": "p:1"}, None, "https_proxy"),
    ({"HTTPS_PROXY": "p:1"}, None, "HTTPS_PROXY"),
    ({"https_proxy": "p:1", "HTTPS_PROXY": "q:1"}, None, "https_proxy"),
    ({"all_proxy": "p:1"}, "all_proxy", "all_proxy"),
    ({"ALL_PROXY": "p:1"}, "ALL_PROXY", "ALL_PROXY"),
    ({"all_proxy": "p:1", "ALL_PROXY": "q:1"}, "all_proxy", "all_proxy"),
    ({"all_proxy": "p:1", "HTTPS_PROXY": "q:1"}, "all_proxy", "HTTPS_PROXY"),
    ({"https_proxy": "", "ALL_PROXY": "q:1"}, "ALL_PROXY", "ALL_PROXY"),
    ({"all_proxy": "p:1", "no_proxy": "example.com"}, None, None),
    ({"all_proxy": "p:1", "NO_PROXY": "example.com"}, None, None),
    ({"all_proxy": "p:1", "no_proxy": "other", "NO_PROXY": "*"}, "all_proxy", "all_proxy"),
    ({"all_proxy": "p:1", "no_proxy": "", "NO_PROXY": "*"}, None, None),
]


@pytest.mark.parametrize(("env", "plain", "secure"), CHOSEN)
def test_proxy_for_takes_the_variable_that_curl_takes(
    env: dict[str, str], plain: str | None, secure: str | None
) -> None:
    """The scheme's own comes first, lower case before upper case, and empty means unset."""
    for origin, expected in ((PLAIN, plain), (SECURE, secure)):
        proxy = proxy_for(origin, env)
        assert (proxy.source if proxy else None) == expected


# The list, the host, and whether it is reached directly.
LISTED = [
    ("", "example.com", False),
    ("*", "example.com", True),
    (" * ", "10.0.0.1", True),
    ("*,other", "example.com", False),
    ("*.example.com", "www.example.com", False),
    ("example.com", "example.com", True),
    ("example.com", "www.example.com", True),
    ("example.com", "notexample.com", False),
    ("example.com", "example.com.evil.test", False),
    (".example.com", "www.example.com", True),
    (".example.com", "example.com", True),
    ("EXAMPLE.com.", "www.example.COM", True),
    ("example.com", "example.com.", True),
    ("www.example.com", "example.com", False),
    ("other, example.com", "example.com", True),
    ("other example.com", "example.com", True),
    (",,other,", "example.com", False),
    (".", "example.com", False),
    ("example.com:80", "example.com", False),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.10", False),
    ("0.0.1", "127.0.0.1", False),
    ("localhost", "127.0.0.1", False),
    ("192.168.0.0/16", "192.168.7.9", True),
    ("192.168.3.4/16", "192.168.7.9", True),
    ("192.168.0.0/16", "192.169.0.1", False),
    ("10.0.0.0/99", "10.0.0.1", False),
    ("10.0.0.0/8", "ten.example.com", False),
    ("::1", "::1", True),
    ("[::1]", "::1", True),
    ("0:0:0:0:0:0:0:1", "::1", True),
    ("fe80::/10", "fe80::12", True),
    ("::/0", "10.0.0.1", False),
]


@pytest.mark.parametrize(("no_proxy", "host", "expected"), LISTED)
def test_listed_matches_names_addresses_and_networks(
    no_proxy: str, host: str, expected: bool
) -> None:
    """Names match at dots, addresses by value."""
    assert listed(host, no_proxy) == expected


@given(st.text(), st.from_regex(r"[a-z0-9-]{1,9}(\.[a-z0-9-]{1,9}){0,3}", fullmatch=True))
def test_listed_takes_any_text(no_proxy: str, host: str) -> None:
    """Nonsense in the variable raises nothing, and a host added to it is listed."""
    assert listed(host, no_proxy) in (True, False)
    assert listed(host, f"other.test,{host}") or host.replace(".", "").isdigit()


PARSED = [
    ("http://p.test:3128", Origin("http", "p.test", 3128), ""),
    ("p.test:3128", Origin("http", "p.test", 3128), ""),
    ("HTTP://p.test:3128/", Origin("http", "p.test", 3128), ""),
    ("p.test", Origin("http", "p.test", 1080), ""),
    ("http://p.test/x:1", Origin("http", "p.test", 1080), ""),
    ("https://p.test", Origin("https", "p.test", 443), ""),
    ("http://[::1]:8080", Origin("http", "::1", 8080), ""),
    ("http://[::1]", Origin("http", "::1", 1080), ""),
    ("http://u:p%40ss@p.test:1", Origin("http", "p.test", 1), "u:p@ss"),
    ("u:p@p.test:1", Origin("http", "p.test", 1), "u:p"),
    ("u@p.test:1", Origin("http", "p.test", 1), "u:"),
]


@pytest.mark.parametrize(("url", "origin", "userinfo"), PARSED)
def test_parse_proxy(url: str, origin: Origin, userinfo: str) -> None:
    """The scheme is optional, and the default port is curl's."""
    proxy = parse_proxy(url, "proxy")
    assert proxy.origin == origin
    expected = f"Basic {base64.b64encode(userinfo.encode()).decode()}" if userinfo else ""
    assert proxy.authorization == expected
    assert "p@ss" not in f"{proxy} {proxy!r}"
    assert proxy.authorization == "" or proxy.authorization not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    "url", ["http://", "ftp://p.test", "http://u:secret@p.test:0", "secret secret", "http://{x}"]
)
def test_parse_proxy_refuses_what_is_none(url: str) -> None:
    """The message names the variable, but not its value."""
    with pytest.raises(ConfigError) as caught:
        parse_proxy(url, "HTTPS_PROXY")
    assert str(caught.value).startswith(
        "HTTPS_PROXY: not the URL of a proxy; use one such as http://"
    )
    assert "secret" not in str(caught.value)


def test_parse_proxy_says_that_socks_is_not_spoken() -> None:
    """SOCKS proxies are not supported."""
    with pytest.raises(ConfigError, match="all_proxy: SOCKS is not supported; use http://"):
        parse_proxy("socks5h://p.test:1080", "all_proxy")

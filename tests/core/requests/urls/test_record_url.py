"""URLs whose host comes from the record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.rules import parse_hosts
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.requests.fields import MissingField
from tmux_fanout.core.requests.url_template import UnsafeExpansion
from tmux_fanout.core.requests.urls.record_url import RecordUrl, takes_host_from_record

RULES = parse_hosts(["*", "*.example.com:8443"])


def url(template: str, *, needs_https: bool = False) -> RecordUrl:
    return RecordUrl(template, RULES, needs_https=needs_https)


@pytest.mark.parametrize(
    ("template", "record", "expected"),
    [
        ("{+value}", "http://a.test", "http://a.test/"),
        ("{+value}", "HTTPS://A.test./x?y=1&z={}#f", "https://a.test/x?y=1&z=%7B%7D"),
        ("{+u}", {"u": "http://bücher.example/é"}, "http://xn--bcher-kva.example/%C3%A9"),
        ("{+u.v}", {"u": {"v": "https://a.test/?"}}, "https://a.test/?"),
        ("{+b}/v1/{id}{?q}", {"b": "https://a.test", "id": "a/b"}, "https://a.test/v1/a%2Fb"),
        ("{+b}/v1{?q}", {"b": "https://a.test/x/", "q": 1}, "https://a.test/x/v1?q=1"),
        ("{+b}{?q}", {"b": "https://a.test/x?a=1", "q": 2}, "https://a.test/x?a=1&q=2"),
        ("{+b}{?q}", {"b": "https://a.test/x"}, "https://a.test/x"),
        ("{+b}?k=1", {"b": "https://a.test/x"}, "https://a.test/x?k=1"),
        ("https://{t}.example.com/{id}", {"t": "a", "id": 1}, "https://a.example.com/1"),
        ("http://{h}{?q}", {"h": "a.test", "q": "x"}, "http://a.test/?q=x"),
        ("https://{h}:8443/", {"h": "a.example.com"}, "https://a.example.com:8443/"),
        ("https://{h}", {"h": "a.example.com:8443"}, "https://a.example.com:8443/"),
    ],
)
def test_url_is_taken_from_the_record(template: str, record: Any, expected: str) -> None:
    """A record gives all of a URL, its beginning, or parts of its host."""
    origin, target = url(template).locate(record)
    assert origin.url + target == expected


@pytest.mark.parametrize(
    ("template", "record", "why"),
    [
        ("{+value}", "ftp://a.test/", "not an http or https URL"),
        ("{+value}", "file:///etc/passwd", "not an http or https URL"),
        ("{+value}", "a.test", "not an http or https URL"),
        ("{+value}", "//a.test/", "not an http or https URL"),
        ("{+value}", "http://u:p@a.test/", "a user or password"),
        ("{+value}", "http://@a.test/", "a user or password"),
        ("{+value}", "http://a.test\\@b.test/", "a user or password"),
        ("{+value}", "http://a.test:22/", "the port 22"),
        ("{+value}", "http://a.test:99999/", "invalid port"),
        ("{+value}", "http://a b.test/", "a blank"),
        ("{+value}", "http://a.test/\r\nX: y", "a control character"),
        ("{+value}", "http://169.254.169.254/latest", "not public; to allow it, list it in hosts"),
        ("{+value}", "http://[::ffff:10.0.0.1]/", "10.0.0.1 is not public"),
        ("{+value}", "http://2130706433/", "127.0.0.1 is not public"),
        ("{+value}", "http://0x7f.1/", "127.0.0.1 is not public"),
        ("{+value}", "http://１２７.0.0.1/", "127.0.0.1 is not public"),
        ("{+value}", "http://127。0。0。1/", "127.0.0.1 is not public"),
        ("{+value}", "http://[fe80::1%25eth0]/", "zone"),
        ("{+b}/x", {"b": "http://a.test/?q"}, "has a query"),
        ("https://{t}.example.com/", {"t": "evil.test/"}, "not part of a host"),
        ("https://{t}.example.com/", {"t": "evil.test#"}, "not part of a host"),
        ("https://{t}.example.com/", {"t": "u@x"}, "not part of a host"),
        ("https://{t}.example.com/", {"t": "evil%2etest%2f"}, "not part of a host"),
        ("https://{t}.example.com/", {"t": ""}, "not part of a host"),
        ("https://{t}.example.com/", {"t": "a:80"}, "url: "),
        ("https://{t}.example.com/", {"t": "[::1]"}, "url: "),
        ("{+b}/{id}", {"b": "http://a.test", "id": ".."}, "path segment"),
    ],
)
def test_what_must_not_be_called_is_refused(template: str, record: Any, why: str) -> None:
    """Nothing but an allowed host, at an allowed port, over http or https, and without a user."""
    with pytest.raises(UnsafeExpansion, match=why):
        url(template).locate(record)


def test_missing_field_is_named() -> None:
    """A record without the field fails as with any template."""
    with pytest.raises(MissingField, match="u"):
        url("{+u}").locate({"v": 1})


def test_credentials_need_https() -> None:
    """Where a record chooses the scheme, it must not choose http for an API with credentials."""
    with pytest.raises(UnsafeExpansion, match="credentials"):
        url("{+value}", needs_https=True).locate("http://a.test/")
    assert url("{+value}", needs_https=True).locate("https://a.test/")
    assert url("http://{h}/", needs_https=True).locate({"h": "a.test"})


@pytest.mark.parametrize(
    "template",
    ["{value}", "{+a}.json", "{+a}{+b}x{", "https://{+h}/", "https://u@{h}/", "ftp://{h}/", "{?u}"],
)
def test_invalid_templates_are_refused(template: str) -> None:
    """A template has to begin with a scheme or with a field that holds a URL."""
    with pytest.raises(ConfigError):
        url(template)


@pytest.mark.parametrize(
    ("template", "does"),
    [
        ("{+url}", True),
        ("{url}", True),
        ("https://{t}.example.com", True),
        ("https://example.com:{port}/", True),
        ("https://example.com/{id}", False),
        ("https://example.com{/id}", False),
        ("https://example.com{?q}", False),
        ("https://example.com{+path}", False),
        ("https://example.com", False),
        ("https://example.com?u={+url}", False),
    ],
)
def test_templates_that_take_the_host_are_recognised(template: str, does: bool) -> None:
    """Only these need `hosts`."""
    assert takes_host_from_record(template) is does


@given(st.text() | st.from_regex(r"https?://[^/]{0,12}/.{0,6}"))
def test_no_record_leads_anywhere_else(text: str) -> None:
    """Whatever a record says, the origin is one that the rules allow, or the record is refused."""
    rules = parse_hosts(["*.example.com"])
    for template in ("{+value}", "https://{value}.example.com/", "https://{value}/"):
        try:
            origin, target = RecordUrl(template, rules, needs_https=False).locate(text)
        except UnsafeExpansion:
            continue
        assert origin.host.endswith(".example.com")
        assert origin in (Origin("http", origin.host, 80), Origin("https", origin.host, 443))
        assert target.startswith("/")
        assert target.isascii()
        assert not set(target) & set("\r\n #")

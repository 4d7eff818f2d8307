"""The hosts that records may name."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.rules import HostRefused, parse_hosts
from tmux_fanout.core.http.urls import parse_url


def refusal(hosts: list[str], url: str) -> str:
    """Return why a URL is refused; "" if it is not."""
    try:
        parse_hosts(hosts).canonical(parse_url(url)[0])
    except HostRefused as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        (
            "*",
            ["http://a.test/", "https://b.c.test/", "http://8.8.8.8/", "http://[2606:4700::1]/"],
            ["http://a.test:8080/", "https://a.test:80/", "http://10.0.0.1/", "http://[::1]/"],
        ),
        ("*:*", ["http://a.test:8080/", "https://a.test:1/"], ["http://127.0.0.1:8080/"]),
        (
            "*.example.com",
            ["http://a.example.com/", "https://a.b.example.com./", "http://A.EXAMPLE.com/"],
            ["http://example.com/", "http://a.example.com.evil.test/", "http://aexample.com/"],
        ),
        (
            "example.com",
            ["http://example.com/", "https://example.com./"],
            ["http://a.example.com/", "http://example.com:81/"],
        ),
        ("Bücher.example:8443", ["https://xn--bcher-kva.example:8443/"], ["https://b.example/"]),
        (
            "10.1.0.0/16:8080",
            ["http://10.1.2.3:8080/", "http://[::ffff:10.1.2.3]:8080/", "http://167838211:8080/"],
            ["http://10.2.0.1:8080/", "http://10.1.2.3/", "http://a.test:8080/"],
        ),
        ("127.0.0.1", ["http://127.0.0.1/", "http://0x7f.1/"], ["http://127.0.0.2/"]),
        ("[fd00::/8]", ["http://[fd00::5]/"], ["http://[fe80::5]/", "http://[::1]/"]),
        ("[::1]:8080", ["http://[0:0::1]:8080/"], ["http://[::1]/"]),
    ],
)
def test_patterns_allow_what_they_say(pattern: str, allowed: list[str], refused: list[str]) -> None:
    """A pattern stands for hosts at a port, in whatever form a URL writes them."""
    assert [url for url in allowed if refusal([pattern], url)] == []
    assert [url for url in refused if not refusal([pattern], url)] == []


def test_any_pattern_is_enough() -> None:
    """What one pattern refuses another may allow, also at another port."""
    hosts = ["*", "10.0.0.0/8:8080", "8.8.8.8:8080"]
    assert refusal(hosts, "http://8.8.8.8/") == ""
    assert refusal(hosts, "http://8.8.8.8:8080/") == ""
    assert refusal(hosts, "http://10.0.0.1:8080/") == ""
    assert "the port 80" in refusal(hosts, "http://10.0.0.1/")


def test_one_host_has_one_form() -> None:
    """All spellings of a host lead to one origin, so that its bounds are one."""
    rules = parse_hosts(["*", "127.0.0.1"])
    urls = ["http://127.0.0.1/", "http://0x7f.1/", "http://[::ffff:127.0.0.1]:80/"]
    assert len({rules.canonical(parse_url(url)[0]) for url in urls}) == 1
    names = ["http://a.test/", "http://A.test.:80/"]
    assert len({rules.canonical(parse_url(url)[0]) for url in names}) == 1


@pytest.mark.parametrize(
    ("hosts", "url", "address", "is_allowed"),
    [
        (["*"], "http://a.test/", "8.8.8.8", True),
        (["*"], "http://a.test/", "127.0.0.1", False),
        (["*"], "http://a.test/", "::ffff:169.254.169.254", False),
        (["*.test"], "http://a.test/", "10.0.0.1", False),
        (["*.test", "10.0.0.0/8"], "http://a.test/", "10.0.0.1", True),
        (["*.test", "10.0.0.0/8"], "http://a.test/", "::ffff:10.0.0.1", True),
        (["*.test:*", "10.0.0.0/8"], "http://a.test:8080/", "10.0.0.1", False),
        (["a.test"], "http://a.test/", "10.0.0.1", True),
        (["*", "a.test:8080"], "http://a.test/", "10.0.0.1", False),
        (["*", "localhost"], "http://localhost/", "127.0.0.1", True),
        (["*", "localhost"], "http://other.test/", "127.0.0.1", False),
    ],
)
def test_addresses_are_checked_whatever_the_name(
    hosts: list[str], url: str, address: str, is_allowed: bool
) -> None:
    """A name may lead to a special address only if one of the two is listed, at that port."""
    rules = parse_hosts(hosts)
    origin = rules.canonical(parse_url(url)[0])
    assert rules.allow(origin, ip_address(address)) is is_allowed


@pytest.mark.parametrize(
    ("hosts", "url", "advice"),
    [
        ("127.0.0.0/8", "http://127.0.0.2:9801/", "127.0.0.0/8:9801, or 127.0.0.0/8:*"),
        ("[fd00::/8]", "http://[fd00::5]:81/", "[fd00::/8]:81, or [fd00::/8]:*"),
        ("*.a.test:8443", "http://b.a.test/", "*.a.test:80, or *.a.test:*"),
    ],
)
def test_port_that_is_refused_can_be_listed_as_the_message_says(
    hosts: str, url: str, advice: str
) -> None:
    """Both of the patterns that the message names allow the URL."""
    origin = parse_url(url)[0]
    with pytest.raises(HostRefused) as caught:
        parse_hosts([hosts]).canonical(origin)
    assert str(caught.value).endswith(f"; to allow it, list {advice} for any port")
    for pattern in advice.split(", or "):
        parse_hosts([pattern]).canonical(origin)


@pytest.mark.parametrize(
    ("hosts", "advice"),
    [
        ("*.test", "use one such as"),
        ([], "an empty list"),
        ([5], "HOST or HOST:PORT"),
        ([""], "HOST or HOST:PORT"),
        (["https://a.test"], "leave the scheme"),
        (["a.test/x"], "an address"),
        (["a.*.test"], "first parts"),
        (["127.0.0.*"], "10.0.0.0/8"),
        (["10.0.0.1/8"], "an address"),
        (["300.1.1.1"], "an address"),
        (["::1"], "in brackets"),
        (["a.test,b.test"], "use one --hosts for each, or a list such as"),
        (["127.0.0.1:80,127.0.0.1:81"], "use one --hosts for each"),
        (["[fe80::1%eth0]"], "an address"),
        (["a.test:0"], "a port from 1 to 65535"),
        (["a.test:65536"], "a port from 1 to 65535"),
        (["a.test:http"], "HOST or HOST:PORT"),
        (["a..test"], "HOST or HOST:PORT"),
        (["*."], "HOST or HOST:PORT"),
    ],
)
def test_mistakes_in_patterns_are_explained(hosts: Any, advice: str) -> None:
    """A pattern that is none is refused, and the message says what to write."""
    with pytest.raises(ConfigError, match=advice.replace("*", r"\*")):
        parse_hosts(hosts)


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "*:8443",
        "*.example.com",
        "api.example.org:*",
        "10.0.0.5:8080",
        "10.1.0.0/16",
        "[fd00::1]",
        "[fd00::/8]:443",
    ],
)
def test_rules_are_shown_as_they_are_written(pattern: str) -> None:
    """With the port, and an address without the size of its network."""
    assert str(parse_hosts([pattern, "b.test"])) == f"{pattern}, b.test"

"""Which addresses are public, and how hosts spell them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.hosts.addresses import is_public, parse_address

SPECIAL_IPV4 = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
)


@pytest.mark.parametrize("text", SPECIAL_IPV4)
def test_special_ipv4_addresses_are_not_public(text: str) -> None:
    """Neither are they in any IPv6 form that leads there."""
    address = IPv4Address(text)
    number = int(address)
    assert not is_public(address)
    assert not is_public(IPv6Address(f"::ffff:{text}"))
    assert not is_public(IPv6Address(f"64:ff9b::{text}"))
    assert not is_public(IPv6Address((0x2002 << 112) + (number << 80)))  # 6to4
    assert not is_public(IPv6Address((0x20010000 << 96) + (number ^ 0xFFFFFFFF)))  # Teredo
    assert not is_public(IPv6Address(number))  # IPv4-compatible
    assert not is_public(IPv6Address(f"::ffff:0:{text}"))  # SIIT


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "100::1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_special_ipv6_addresses_are_not_public(text: str) -> None:
    """Loopback, local, documentation, tunnels and multicast."""
    assert not is_public(IPv6Address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)
def test_others_are_public(text: str) -> None:
    """Ordinary addresses, and those that stand for one."""
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_no_address_is_public_that_python_takes_for_private(address: IPv4Address) -> None:
    """The lists here lack nothing that the standard library's have."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:a00:1", "10.0.0.1"),
    ],
)
def test_all_spellings_of_an_address_are_seen(host: str, address: str) -> None:
    """Whatever a resolver takes for an address is one."""
    assert str(parse_address(host)) == address


@pytest.mark.parametrize("host", ["a.test", "localhost", "0x7f.com", "1.2.3.4.nip.io", "0xg"])
def test_names_are_no_addresses(host: str) -> None:
    """A host whose last label is no number is a name."""
    assert parse_address(host) is None


@pytest.mark.parametrize(
    "host", ["256.1.1.1", "1.2.3.4.5", "1.2.3.256", "08.1.1.1", "4294967296", "a.1", "1..1", "1:2"]
)
def test_what_looks_like_an_address_must_be_one(host: str) -> None:
    """A host that ends in a number, or has a colon, is an address or nothing."""
    with pytest.raises(ValueError, match=r".+"):
        parse_address(host)


@given(st.ip_addresses(v=4), st.integers(0, 3), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_spellings_agree(address: IPv4Address, dots: int, form: str) -> None:
    """Any number of parts, in any base, is the address that it was written from."""
    packed, number = address.packed, int(address)
    first = [form.format(byte) for byte in packed[:dots]]
    rest = form.format(number & ((1 << 8 * (4 - dots)) - 1))
    assert parse_address(".".join([*first, rest])) == address

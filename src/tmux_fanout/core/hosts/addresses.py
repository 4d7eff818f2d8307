"""Which IP addresses are public, and how hosts that end in a number spell one.

A server on this machine, in its network or of its cloud (`169.254.169.254`) answers whoever can
connect to it.  A URL that somebody else has written must not lead there (CWE-918, server-side
request forgery).  The lists are IANA's special-purpose address registries (RFC 6890), without the
few exceptions in them that are public.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_SPECIAL_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_UNICAST_IPV6 = IPv6Network("2000::/3")  # whatever else is not assigned, or special
_SPECIAL_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public Internet.

    An IPv6 address that stands for an IPv4 one, mapped or by NAT64, is as public as that.
    """
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is None:
            is_special = any(address in network for network in _SPECIAL_IPV6)
            return address in _UNICAST_IPV6 and not is_special
        address = address.ipv4_mapped
    return not any(address in network for network in _SPECIAL_IPV4)


def parse_address(host: str) -> Address | None:
    """Return the address that a host is; None if it is a name.

    Resolvers take any of `127.0.0.1`, `127.1`, `0x7f.1`, `0177.0.0.1` and `2130706433` for the same
    address (`inet_aton`), and so does this (WHATWG URL, section 3.5).  A mapped IPv6 address is
    returned as the IPv4 one to which it leads.

    Args:
        host: in the form for the resolver.

    Raises:
        ValueError: it ends in a number, or has a colon, and is no address.
    """
    if ":" in host:
        address = IPv6Address(host)
        return address.ipv4_mapped or address
    parts = host.removesuffix(".").split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return None
    *first, last = map(_number, parts)
    left = 4 - len(first)  # bytes that the last part fills
    if left < 1 or any(number > 0xFF for number in first) or last >= 256**left:
        raise ValueError(f"{host} is not an IPv4 address")
    return IPv4Address(sum(n << 8 * (3 - place) for place, n in enumerate(first)) + last)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)

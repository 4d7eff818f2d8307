"""The four spellings of one host.

    in a URL           as people write it: `bücher.example`, `a.test.`, `[fe80::1%25eth0]`
    for the resolver   ASCII in lower case, with a final dot and a zone; this is `Origin.host`
    on the wire        in Host, :authority, CONNECT and absolute URLs: brackets, and no zone, which
                       means something on this machine only (RFC 6874, section 4); a final dot
                       stays, as in browsers, and in curl since 7.82
    in TLS             in SNI and for the certificate: no final dot (RFC 6066, section 3), no zone

Names that are not ASCII become so by IDNA 2008 as UTS 46 has it, without its transition from IDNA
2003: those two lead to different servers (`faß.de` and `fass.de`).  As in curl, Go and browsers,
this includes the symbols that UTS 46 allows and IDNA 2008 alone does not (`i❤.ws`).  A label that
is ASCII already stays as it is: DNS has names with underscores, and ones that only IDNA 2003 could
make.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import unquote

_LONG_OR_EMPTY = "each part of its host, between two dots, must have 1 to 63 characters"
_LABEL = re.compile(r"[a-z0-9_-]+")
_LONGEST_LABEL = 63
_JOINERS = "\u200c\u200d"
_LONGEST = 253  # characters, but for a final dot
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_NOT_ASCII = re.compile(r"(?:%[89a-f][0-9a-f])+", re.IGNORECASE)


class HostError(ValueError):
    """A text is no host, for a reason that its user had better know."""


def parse_host(text: str) -> str:
    """Return a name or IPv4 address of a URL as the resolver takes it.

    Raises:
        HostError: it is none that DNS could hold.
        ValueError: it is none at all.
    """
    name = _NOT_ASCII.sub(lambda match: unquote(match[0], errors="strict"), text)
    name = name.lower() if name.isascii() else _ascii(name)
    labels = name.removesuffix(".").split(".")
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise HostError(_LONG_OR_EMPTY)
    if len(name.removesuffix(".")) > _LONGEST:
        raise HostError(f"its host must have {_LONGEST} characters at most")
    if not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("a character that no name has")
    return name


def _ascii(name: str) -> str:
    # Its tables take 20 ms to import, and few need them.
    import idna

    try:
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
        return ".".join(
            label if label.isascii() else _ascii_label(label) for label in mapped.split(".")
        )
    except idna.IDNAError as exc:
        if "too long" in str(exc).lower():
            raise HostError(_LONG_OR_EMPTY) from exc
        why = "its host is not a valid name; write its ASCII form, such as xn--..."
        raise HostError(why) from exc


def _ascii_label(label: str) -> str:
    """Return a label that UTS 46 has mapped in ASCII.

    Raises:
        HostError, idna.IDNAError: there is no such label.
    """
    import idna

    if len(label) > _LONGEST_LABEL:  # and in ASCII it is no shorter
        raise HostError(_LONG_OR_EMPTY)
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        # One that UTS 46 has as valid.  The checks that `alabel` makes before are passed (NFC,
        # hyphens, a combining mark at the start); those that it has not come to are made here.
        ascii_part = "".join(filter(str.isascii, label))
        if ascii_part and not _LABEL.fullmatch(ascii_part):
            raise
        for position, char in enumerate(label):
            if char in _JOINERS and not _is_joiner_allowed(label, position):
                raise
        idna.check_bidi(label)
        return "xn--" + label.encode("punycode").decode()


def _is_joiner_allowed(label: str, position: int) -> bool:
    import idna.core

    try:
        return idna.core.valid_contextj(label, position)
    except ValueError:  # beside a character without a name
        return False


def parse_ip_literal(text: str) -> str:
    """Return an IP address, without its brackets, as the resolver takes it.

    A zone follows `%25` (RFC 6874) or, as it is written everywhere else, `%` alone.

    Raises:
        ValueError: it is no address, or has no zone that can be.
    """
    address, percent, zone = text.partition("%")
    if percent:
        zone = zone.removeprefix("25") or zone
        if not _ZONE.fullmatch(zone):
            raise ValueError("a zone that no interface has")
    IPv6Address(address)
    return address.lower() + percent + zone


def wire_host(host: str) -> str:
    """Return a host as it stands in a request."""
    return f"[{_without_zone(host)}]" if ":" in host else host


def url_host(host: str) -> str:
    """Return a host as it stands in a URL."""
    address, percent, zone = host.partition("%")
    return f"[{address}%25{zone}]" if percent else wire_host(host)


def tls_host(host: str) -> str:
    """Return a host as it stands in a certificate."""
    return _without_zone(host) if ":" in host else host.removesuffix(".")


def _without_zone(host: str) -> str:
    return host.partition("%")[0]

"""The four spellings of one host.

    in a URL           as people write it: `bücher.example`, `a.test.`, `[fe80::1%25eth0]`
    for the resolver   ASCII in lower case, with a final dot and a zone; this is `Origin.host`
    on the wire        in Host, :authority, CONNECT and absolute URLs: brackets, and no zone, which
                       is only meaningful on this machine (RFC 6874, section 4); a final dot
                       stays, as in browsers, and in curl since 7.82
    in TLS             in SNI and for the certificate: no final dot (RFC 6066, section 3), no zone

Names that are not ASCII are converted by IDNA 2008 with the mapping of UTS 46, but without its
transitional processing for IDNA 2003: the two lead to different servers (`faß.de` and `fass.de`).
As in curl, Go and browsers, this includes symbols that UTS 46 allows and IDNA 2008 alone does not
(`i❤.ws`).  A label that is already ASCII is not changed: DNS contains names with underscores, and
some that only IDNA 2003 could produce.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import unquote

_LONG_OR_EMPTY = "each part of its host, between two dots, must have 1 to 63 characters"
_LABEL = re.compile(r"[a-z0-9_-]+")
_MAX_LABEL = 63  # characters
_JOINERS = "\u200c\u200d"
_MAX_NAME = 253  # characters, without a final dot
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_NOT_ASCII = re.compile(r"(?:%[89a-f][0-9a-f])+", re.IGNORECASE)


class HostError(ValueError):
    """A text is not a valid host; the message explains why."""


def parse_host(text: str) -> str:
    """Return a name or IPv4 address from a URL in the form for the resolver.

    Raises:
        HostError: DNS cannot hold such a name.
        ValueError: it is not a name.
    """
    name = _NOT_ASCII.sub(lambda match: unquote(match[0], errors="strict"), text)
    name = name.lower() if name.isascii() else _ascii(name)
    labels = name.removesuffix(".").split(".")
    if not all(0 < len(label) <= _MAX_LABEL for label in labels):
        raise HostError(_LONG_OR_EMPTY)
    if len(name.removesuffix(".")) > _MAX_NAME:
        raise HostError(f"its host must have {_MAX_NAME} characters at most")
    if not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("a character that is not allowed in names")
    return name


def _ascii(name: str) -> str:
    # Its tables take 20 ms to import, and are rarely needed.
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
    """Return the ASCII form of a label that UTS 46 has mapped.

    Raises:
        HostError: the label is too long.
        idna.IDNAError: the label is invalid.
    """
    import idna

    if len(label) > _MAX_LABEL:  # its ASCII form is at least as long
        raise HostError(_LONG_OR_EMPTY)
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        # UTS 46 considers the codepoint valid.  `alabel` has made some checks before it came here
        # (NFC, hyphens, a combining mark at the start); the remaining ones follow.
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
    except ValueError:  # next to a character without a name
        return False


def parse_ip_literal(text: str) -> str:
    """Return an IP address, given without its brackets, in the form for the resolver.

    A zone follows `%25` (RFC 6874) or, as written everywhere else, `%` alone.

    Raises:
        ValueError: the address or its zone is invalid.
    """
    address, percent, zone = text.partition("%")
    if percent:
        zone = zone.removeprefix("25") or zone
        if not _ZONE.fullmatch(zone):
            raise ValueError("a character that is not allowed in zones")
    IPv6Address(address)
    return address.lower() + percent + zone


def wire_host(host: str) -> str:
    """Return a host in the form for a request."""
    return f"[{_without_zone(host)}]" if ":" in host else host


def url_host(host: str) -> str:
    """Return a host in the form for a URL."""
    address, percent, zone = host.partition("%")
    return f"[{address}%25{zone}]" if percent else wire_host(host)


def tls_host(host: str) -> str:
    """Return a host in the form for TLS."""
    return _without_zone(host) if ":" in host else host.removesuffix(".")


def _without_zone(host: str) -> str:
    return host.partition("%")[0]

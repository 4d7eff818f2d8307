"""The decision whether a redirect is followed, and with what request (RFC 9110, section 15.4).

Redirects are only followed within the origin: the content of a request, credentials above all, is
meant for that origin alone.  Where the hosts of an API come from its records, `core.hosts` decides
which other ones a redirect may lead to.

References are resolved here, as `urllib.parse.urljoin` caches URLs, however large.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.hosts import wire_host
from tmux_fanout.core.http.messages import Headers, Origin, Request, RequestHead, Response
from tmux_fanout.core.http.urls import parse_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_SAFE_IN_REFERENCE = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986, section 2, and "%" as it stands
# RFC 3986, appendix B.
_REFERENCE = re.compile(
    r"(?:([a-z][a-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE
)
_CONTENT_HEADERS = ("content-", "digest", "last-modified")


class Followed(NamedTuple):
    """A redirect that is followed.

    Attributes:
        request: to be sent next.
        answered: whether the previous request was processed, so that this one only fetches its
            result.  Otherwise the same request is sent to another URL.
    """

    request: Request
    answered: bool


Leave = Callable[[Origin, Headers], tuple[Origin, Headers] | str]
"""Return the origin to go on to, and the headers to send there; or why a redirect is not followed.
It is called with the origin that a redirect leads to, and the headers of the request before."""


def follow(request: Request, response: Response, leave: Leave | None = None) -> Followed | str:
    """Return the request that a redirect asks for, or the reason not to follow it, for a message.

    301 and 302 turn POST into GET, as in all clients; 303 turns all methods but HEAD into GET; 307
    and 308 change only the URL.

    Args:
        request: that was answered.
        response: with a status in `REDIRECTS`.
        leave: decides on redirects to another origin; None: they are not followed.
    """
    head = request.head
    locations = {value for name, value in response.headers if name == b"location"}
    location = locations.pop().strip(b" \t") if len(locations) == 1 else b""
    if not location:
        return "it has several Locations" if locations else "its redirect has no Location"
    target = _target(head, location)
    origin, headers, oauth2 = head.origin, head.headers, head.oauth2
    if isinstance(target, _Elsewhere):
        left = leave(target.origin, headers) if leave and target.is_safe else target.why
        if isinstance(left, str):
            return left
        (origin, headers), target, oauth2 = left, target.target, None
    elif isinstance(target, _Refused):
        return target.why
    if not _turns_into_get(head.method, response.status):
        moved = RequestHead(head.method, origin, target, headers, oauth2=oauth2)
        return Followed(Request(moved, request.body), answered=False)
    headers = tuple(
        header for header in headers if not header[0].lower().startswith(_CONTENT_HEADERS)
    )
    moved = RequestHead("GET", origin, target, headers, oauth2=oauth2)
    return Followed(Request(moved, None), answered=True)


def _turns_into_get(method: str, status: int) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


class _Refused(NamedTuple):
    why: str


class _Elsewhere(NamedTuple):
    """A URL in another origin, and why redirects there are not followed in general.

    Attributes:
        is_safe: whether nothing but the origin speaks against it.
    """

    origin: Origin
    target: str
    why: str
    is_safe: bool


def _target(head: RequestHead, location: bytes) -> str | _Elsewhere | _Refused:
    """Return the request target of a Location (RFC 3986, section 5), and the origin if another."""
    reference = quote(location, safe=_SAFE_IN_REFERENCE)
    match = _REFERENCE.fullmatch(reference)
    assert match  # the expression matches any line
    scheme, authority, path, query = match.groups()
    scheme = (scheme or head.origin.scheme).lower()
    if scheme not in ("http", "https"):
        return _Refused("its redirect to another scheme is not followed")
    if not authority and scheme == head.origin.scheme:
        return _relative(head.target, path, query)
    try:
        origin, target, user = parse_url(reference if match[1] else f"{scheme}:{reference}")
    except (ValueError, ConfigError):
        return _Refused("its Location is not a URL")
    if scheme == head.origin.scheme and origin.authority == head.origin.authority:
        return target  # the server does not know the zone
    is_safe = not user and (origin.is_tls or not head.origin.is_tls)
    return _Elsewhere(origin, target, _why_stay(head.origin, origin), is_safe)


def _why_stay(origin: Origin, other: Origin) -> str:
    """Return why a redirect to another origin is not followed."""
    if wire_host(other.host) != wire_host(origin.host) or other.scheme == origin.scheme:
        return "its redirect to another origin is not followed"
    if other.scheme == "http":
        return "its redirect from https to http is not followed"
    return "its redirect from http to https is not followed; use https in the URL"


def _relative(base: str, path: str, query: str | None) -> str:
    """Return the target of a reference without an authority (RFC 3986, section 5.2.2).

    Args:
        base: the target that it is relative to.
        path, query: of the reference.
    """
    base_path, mark, base_query = base.partition("?")
    if not path:
        return base_path + (mark + base_query if query is None else f"?{query}")
    if not path.startswith("/"):
        path = base_path[: base_path.rfind("/") + 1] + path
    return _without_dots(path) + ("" if query is None else f"?{query}")


def _without_dots(path: str) -> str:
    """Return an absolute path with its `.` and `..` resolved (RFC 3986, section 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)

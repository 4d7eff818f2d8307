"""Whether a redirect is followed, and with what request (RFC 9110, section 15.4).

Only within the origin: what a request carries, credentials above all, is for that origin alone.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts import wire_host
from tmux_fanout.core.http import Request, RequestHead, Response
from tmux_fanout.core.urls import parse_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_SAFE_IN_REFERENCE = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986, section 2, and "%" as it stands
_ABOUT_CONTENT = ("content-", "digest", "last-modified")


class Followed(NamedTuple):
    """Where a redirect leads.

    Attributes:
        request: to be sent next.
        answered: whether the request before it is done with: the next one only fetches what came
            of it.  Otherwise the same request is sent to another place.
    """

    request: Request
    answered: bool


def follow(request: Request, response: Response) -> Followed | str:
    """The request that a redirect asks for, or why there is none, in words fit for a message.

    301 and 302 turn POST into GET, as everybody does; 303 turns all but HEAD into GET; 307 and 308
    change nothing but the place.

    Args:
        response: with one of `REDIRECTS`.
    """
    head = request.head
    locations = {value for name, value in response.headers if name == b"location"}
    location = locations.pop().strip(b" \t") if len(locations) == 1 else b""
    if not location:
        return "it has several Locations" if locations else "its redirect has no Location"
    target = _target(head, location)
    if isinstance(target, _Refused):
        return target.why
    if not _turns_into_get(head.method, response.status):
        moved = RequestHead(head.method, head.origin, target, head.headers)
        return Followed(Request(moved, request.body), answered=False)
    headers = tuple(
        header for header in head.headers if not header[0].lower().startswith(_ABOUT_CONTENT)
    )
    return Followed(Request(RequestHead("GET", head.origin, target, headers), None), answered=True)


def _turns_into_get(method: str, status: int) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


class _Refused(NamedTuple):
    why: str


def _target(head: RequestHead, location: bytes) -> str | _Refused:
    """The request target of a Location, a reference (RFC 3986, section 5), in the same origin."""
    # First of all, lest urllib drops what it takes for blanks.
    reference = quote(location, safe=_SAFE_IN_REFERENCE)
    try:
        url = urljoin(head.url, reference)
        scheme = urlsplit(url).scheme
        if scheme not in ("http", "https"):
            return _Refused("its redirect to another scheme is not followed")
        origin, target, _ = parse_url(url)
    except (ValueError, ConfigError):
        return _Refused("its Location is no URL")
    if scheme == head.origin.scheme and origin.authority == head.origin.authority:
        return target  # a server knows nothing of our zone
    if wire_host(origin.host) != wire_host(head.origin.host) or scheme == head.origin.scheme:
        return _Refused("its redirect to another origin is not followed")
    if scheme == "http":
        return _Refused("its redirect from https to http is not followed")
    return _Refused("its redirect from http to https is not followed; write https in the URL")

"""Whether a redirect is followed, and with what request (RFC 9110, section 15.4).

Only within the origin: what a request carries, credentials above all, is for that origin alone.

References are resolved here, since `urllib.parse.urljoin` keeps the last URLs that it has seen,
however large.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.hosts import wire_host
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.urls import parse_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_SAFE_IN_REFERENCE = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986, section 2, and "%" as it stands
# RFC 3986, appendix B.
_REFERENCE = re.compile(
    r"(?:([a-z][a-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE
)
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
    reference = quote(location, safe=_SAFE_IN_REFERENCE)
    match = _REFERENCE.fullmatch(reference)
    assert match  # the expression takes any line
    scheme, authority, path, query = match.groups()
    scheme = (scheme or head.origin.scheme).lower()
    if scheme not in ("http", "https"):
        return _Refused("its redirect to another scheme is not followed")
    if not authority and scheme == head.origin.scheme:
        return _relative(head.target, path, query)
    try:
        origin, target, _ = parse_url(reference if match[1] else f"{scheme}:{reference}")
    except (ValueError, ConfigError):
        return _Refused("its Location is no URL")
    if scheme == head.origin.scheme and origin.authority == head.origin.authority:
        return target  # a server knows nothing of our zone
    return _elsewhere(head.origin, origin)


def _elsewhere(origin: Origin, other: Origin) -> _Refused:
    """Why a redirect to another origin is not followed."""
    if wire_host(other.host) != wire_host(origin.host) or other.scheme == origin.scheme:
        return _Refused("its redirect to another origin is not followed")
    if other.scheme == "http":
        return _Refused("its redirect from https to http is not followed")
    return _Refused("its redirect from http to https is not followed; write https in the URL")


def _relative(base: str, path: str, query: str | None) -> str:
    """The target of a reference without an authority (RFC 3986, section 5.2.2).

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
    """An absolute path with its `.` and `..` resolved (RFC 3986, section 5.2.4)."""
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

"""The decision whether a redirect is followed, and with what request (RFC 9110, section 15.4).

Redirects are only followed within the origin: the content of a request, credentials above all, is
meant for that origin alone.  So it is for other references in responses, such as the next page of
a list (`resolve`).  Where the hosts of an API come from its records, `core.hosts` decides which
other ones a redirect may lead to.

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
_NO_URL = "its Location is not a URL"
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
    target = resolve(head, location)
    if isinstance(target, Refused):
        if not (leave and target.elsewhere):
            return target.sentence("its redirect", "followed") if target.to else _NO_URL
        origin, target = target.elsewhere
        left = leave(origin, head.headers)
        if isinstance(left, str):
            return left
        head = RequestHead(head.method, left[0], target, left[1])
    if not _turns_into_get(head.method, response.status):
        moved = RequestHead(head.method, head.origin, target, head.headers, auth=head.auth)
        return Followed(Request(moved, request.body), answered=False)
    return Followed(get_request(head, target), answered=True)


def get_request(head: RequestHead, target: str) -> Request:
    """Return a GET for another target, with what a head has but for the headers of its content."""
    headers = tuple(
        header for header in head.headers if not header[0].lower().startswith(_CONTENT_HEADERS)
    )
    return Request(RequestHead("GET", head.origin, target, headers, auth=head.auth), None)


def _turns_into_get(method: str, status: int) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in (301, 302) and method == "POST"


class Refused(NamedTuple):
    """A reference that is not followed.

    Attributes:
        to: where it leads: `to another origin`, `from https to http`; "" if it is no URL.
        advice: what to do about that, or "".
        elsewhere: the origin and the target there, if nothing but the other origin speaks against
            following it.
    """

    to: str
    advice: str = ""
    elsewhere: tuple[Origin, str] | None = None

    def sentence(self, what: str, done: str) -> str:
        """Return why it is not followed.

        Args:
            what: the reference, such as `its redirect`.
            done: what would be done with it, such as `followed`.
        """
        if not self.to:
            return f"{what} is not a URL"
        return f"{what} {self.to} is not {done}{self.advice}"


def resolve(head: RequestHead, reference: bytes) -> str | Refused:
    """Return the request target of a reference (RFC 3986, section 5), if in the same origin.

    Args:
        head: of the request whose response has the reference.
        reference: a URL, or relative to that of the request.
    """
    reference_text = quote(reference, safe=_SAFE_IN_REFERENCE)
    match = _REFERENCE.fullmatch(reference_text)
    assert match  # the expression matches any line
    scheme, authority, path, query = match.groups()
    scheme = (scheme or head.origin.scheme).lower()
    if scheme not in ("http", "https"):
        return Refused("to another scheme")
    if not authority and scheme == head.origin.scheme:
        return _relative(head.target, path, query)
    try:
        whole = reference_text if match[1] else f"{scheme}:{reference_text}"
        origin, target, user = parse_url(whole)
    except (ValueError, ConfigError):
        return Refused("")
    if scheme == head.origin.scheme and origin.authority == head.origin.authority:
        return target  # the server does not know the zone
    is_safe = not user and (origin.is_tls or not head.origin.is_tls)
    return _refused(head.origin, origin)._replace(elsewhere=(origin, target) if is_safe else None)


def _refused(origin: Origin, other: Origin) -> Refused:
    """Return why a reference to another origin is not followed."""
    if wire_host(other.host) != wire_host(origin.host) or other.scheme == origin.scheme:
        return Refused("to another origin")
    if other.scheme == "http":
        return Refused("from https to http")
    return Refused("from http to https", "; use https in the URL")


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

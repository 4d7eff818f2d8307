"""The pages of a list, which one call fetches one after the other.

Each page tells where the next one is: in a Link header (RFC 8288), or in its body, by a URL or by a
token that goes into the request.  The call is ok once there is no next page, and its answer is the
list of all items.  It never has some of them only: where pages are too many, or come round again,
the call fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode

import msgspec
from msgspec import structs

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.core.http.redirects import resolve
from tmux_fanout.core.json_text import (
    JSONNumber,
    NotJSON,
    decode_spelled,
    encode_json,
    spell_json,
    split_list,
)
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.advice.bodies import advise_on_body
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.fields import kind_of
from tmux_fanout.core.requests.options import BodyFormat
from tmux_fanout.core.requests.response_body import json_of
from tmux_fanout.core.requests.series.links import MalformedLink, next_link
from tmux_fanout.core.requests.series.steps import Next
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.units import show_size

LINK = "link"
"""What `pages.next` is where the header of that name has the URL."""

_TOKEN = re.compile(r"[\w=+-]+")  # no path, query or name of a file: hardly ever a URL
_SHOWN = 60  # characters of a token, and of a path, that a message shows


class Param(NamedTuple):
    """Where the token of the next page goes: a parameter of the query, or a field of the body."""

    name: str
    body_format: BodyFormat | None  # None: into the query


class PagesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the pages of one API are found.

    Attributes:
        next: finds the URL or token of the next page in the body; None: a Link header has the URL.
        param: where the token goes; None: it is a URL.
        items: finds the list of items in the body; None: the body is the list.
        max: maximum number of pages.
        max_size: maximum size of all items together.
        policy: how often the request for a page is repeated.
    """

    next: Expression | None
    param: Param | None
    items: Expression | None
    max: int
    max_size: int
    policy: RetryPolicy

    def begin(
        self, request: Request, record: Record, results: Mapping[str, Any] | None = None
    ) -> Pages:
        """Return the series of a call, whose first page was answered.

        Args:
            request: for the first page.
            record, results: unused.
        """
        return Pages(self, request)

    def place_missing_in(self, page: Response) -> str | None:
        """Return what a page lacks in which it could name the next one; None if it has that.

        The last page may have it all the same, with null.

        Args:
            page: a last page.
        """
        if self.next is None:
            has_header = page.header(b"link") is not None
            return None if has_header else "there is no Link header"
        missing = self.next.missing_in(decode_spelled(json_of(page)))
        if missing is None:
            return None
        text = self.next.text
        advice = advise_on_body(text, missing.path)
        if text.lower() == LINK:
            advice = 'for the Link header, write "link"'
        return printable(f"there is no field {missing.path}{advice and '; '}{advice}")

    @property
    def summary(self) -> str:
        """What follows the first request, for `explain`."""
        where = "the URL in Link: rel=next"
        if self.next is not None:
            where = f"the URL at {self.next.text}"
        if self.next is not None and self.param is not None:
            what = "parameter" if self.param.body_format is None else "field"
            where = f"{what} {self.param.name} from {self.next.text}"
        return f"then the next pages, up to {self.max} in all, each by {where}"


class _Stop(Exception):
    """A page that ends the call as not ok."""

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__(error.message)
        self.error = error


class Pages:
    """The pages of one call; see `steps.Series`.

    Args:
        plan: how they are found.
        request: for the first page.
    """

    is_paid = False
    noun = "page"
    remark = ""

    def __init__(self, plan: PagesPlan, request: Request) -> None:
        self.policy = plan.policy
        self.before = 0
        self.answer: Response | None = None
        self._plan = plan
        self._request = request
        self._items: list[bytes] = []
        self._size = 2
        self._wire_size = 0
        self._page = 1
        self._taken_for_url = ""  # what led to this page, where it looks like a token
        self._seen = {_trace(request)}

    def __repr__(self) -> str:
        return f"<Pages: {self._page}, {len(self._items)} items>"

    @property
    def size(self) -> int:
        return self._size

    def why_late(self, time: float) -> ErrorInfo | None:
        return None

    def describe(self, error: ErrorInfo) -> ErrorInfo:
        message = f"page {self._page}: {error.message}"
        if self._taken_for_url and error.kind in ("status", "decode"):
            target = printable(self._request.head.target.partition("?")[0], _SHOWN)
            token = printable(self._taken_for_url, _SHOWN)
            what = f"'{token}' from pages.next, taken for a URL, led to {target}"
            message = f"{message}; {what}: if it is a token, set pages.param"
        return structs.replace(error, message=message)

    def follow(
        self, answer: Response, now: float, asked_pause: float
    ) -> Next | Response | ErrorInfo:
        try:
            return self._follow(answer)
        except _Stop as stop:
            return stop.error

    def _follow(self, answer: Response) -> Next | Response:
        json, value = self._read(answer)
        self._add(self._items_in(json, value))
        self._wire_size += answer.wire_size
        where = self._next_in(answer, value)
        if where is None:
            body = b"[%b]" % b",".join(self._items)
            fields = structs.asdict(answer) | {"body": body, "wire_size": self._wire_size}
            return Response(**{name: fields[name] for name in Response.__struct_fields__})
        if self._page >= self._plan.max:
            limit = counted(self._plan.max, "page")
            why = f"there are more pages than pages.max allows ({limit}): raise it, or ask for less"
            raise _Stop(ErrorInfo("too_large", why))
        self._request = self._request_for(where)
        trace = _trace(self._request)
        if trace in self._seen:
            why = "the page names one as the next that was fetched before, so they have no end"
            raise _Stop(ErrorInfo("protocol", why))
        self._seen.add(trace)
        self._page += 1
        return Next(self._request)

    def _read(self, answer: Response) -> tuple[bytes, Any]:
        try:
            json = json_of(answer)
            needs_value = self._plan.next is not None or self._plan.items is not None
            return json, decode_spelled(json) if needs_value else None
        except NotJSON as exc:
            raise _Stop(ErrorInfo("decode", f"the response is not JSON: {exc}")) from None
        except RecursionError:
            raise _Stop(ErrorInfo("decode", "the response is nested too deeply")) from None

    def _items_in(self, json: bytes, value: Any) -> list[bytes]:
        if self._plan.items is None:
            items = split_list(json)
            if items is None:
                why = "the response is not a list: set pages.items to the place of the list"
                raise _Stop(ErrorInfo("decode", why))
            return items
        found = _search(self._plan.items, value)
        if not isinstance(found, list):
            why = f"pages.items finds {kind_of(found)} in the response, not a list"
            raise _Stop(ErrorInfo("decode", why))
        return [encode_json(item) for item in found]

    def _add(self, items: list[bytes]) -> None:
        self._items += items
        self._size += sum(len(item) + 1 for item in items)
        if self._size > self._plan.max_size:
            limit = show_size(self._plan.max_size)
            why = f"the items of all pages are together larger than max_response ({limit})"
            raise _Stop(ErrorInfo("too_large", why))

    def _next_in(self, answer: Response, value: Any) -> Any:
        """Return the URL or token of the next page; None if this is the last one."""
        if self._plan.next is None:
            try:
                return next_link(answer.headers)
            except MalformedLink as exc:
                raise _Stop(ErrorInfo("protocol", str(exc))) from None
        found = _search(self._plan.next, value)
        if found is None or found is False or found == "":
            return None
        if isinstance(found, str):
            return found
        if self._plan.param is not None and isinstance(found, (int, float)) and found is not True:
            return found
        use = "a URL: name the parameter for it with pages.param" if _is_number(found) else "text"
        why = f"pages.next finds {kind_of(found)} in the response, not {use}"
        raise _Stop(ErrorInfo("decode", why))

    def _request_for(self, where: Any) -> Request:
        head, body = self._request.head, self._request.body
        param = self._plan.param
        if param is None:
            is_token = self._plan.next is not None and _TOKEN.fullmatch(where)
            self._taken_for_url = where if is_token else ""
            target = resolve(head, where.strip().encode("utf-8", "surrogatepass"))
            if not isinstance(target, str):
                why = target.sentence("the next page", "fetched")
                raise _Stop(ErrorInfo("protocol", why))
            return Request(_with_target(head, target), body)
        if param.body_format is None:
            return Request(
                _with_target(head, _with_parameter(head.target, param.name, where)), body
            )
        return Request(
            head, _with_field(self._request.content, param.name, param.body_format, where)
        )


def _search(expression: Expression, value: Any) -> Any:
    try:
        return expression.search(value)
    except ExpressionError as exc:
        raise _Stop(ErrorInfo("decode", str(exc))) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _trace(request: Request) -> int:
    """Return what tells a request from others; a cycle of pages may be long, and URLs, too."""
    return hash((request.head.target, request.body))


def _with_target(head: RequestHead, target: str) -> RequestHead:
    return RequestHead(head.method, head.origin, target, head.headers, auth=head.auth)


def _text_of(token: Any) -> str:
    if isinstance(token, str):
        return token
    return spell_json(token) if isinstance(token, JSONNumber) else str(token)


def _with_parameter(target: str, name: str, token: Any) -> str:
    """Return a request target with a parameter of its query set, and nothing else changed."""
    path, _, query = target.partition("?")
    pairs = [each for each in query.split("&") if each]
    kept = [each for each in pairs if unquote_plus(each.partition("=")[0]) != name]
    value = quote(_text_of(token).encode("utf-8", "surrogatepass"), safe="")
    kept.append(quote(name, safe="") + "=" + value)
    return f"{path}?{'&'.join(kept)}"


def _with_field(body: bytes, path: str, body_format: BodyFormat, token: Any) -> bytes:
    """Return a body with one of its fields set."""
    if body_format == "form":
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        kept = [pair for pair in pairs if pair[0] != path]
        return urlencode([*kept, (path, _text_of(token))]).encode()
    value = decode_spelled(body)
    *owners, last = path.split(".")
    fields = value
    for name in owners:
        if isinstance(fields, dict):
            fields = fields.setdefault(name, {})
    if not isinstance(fields, dict):
        where = ".".join(owners) or "the body of the request"
        why = printable(f"pages.param: {where} is {kind_of(fields)}, not an object to put it into")
        raise _Stop(ErrorInfo("template", why))
    fields[last] = token
    return encode_json(value)

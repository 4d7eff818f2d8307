"""Many records in one request: building the request, and assigning the response's items.

A returned item belongs to the record whose item was sent at the same position, or with the same
key.  Where that is uncertain it belongs to none: the wrong answer to a record is worse than none.
By position, one item too few leaves all of them uncertain; by key, it fails its own record only.

`wrap` puts the list of items into an envelope, such as `{model: 'm', input: @}`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.json_text import (
    JSONNumber,
    NotJSON,
    check_json,
    decode_spelled,
    encode_json,
    split_list,
)
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.fields import MissingField, find_field
from tmux_fanout.core.requests.options import Batch
from tmux_fanout.core.requests.response_body import in_utf8, json_of
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.units import parse_size

# A batch rejected with one of these is halved until the record at fault stands alone.
REFUSED_BATCH = frozenset({400, 413, 422})

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the records of one API share requests.

    Attributes:
        size: maximum records of a request.
        format: a JSON list, or one JSON value on each line.
        items: finds the list in the response; None: the response is the list.
        key: field by which sent items match returned ones; None: by position.
        wrap: makes the body from the list of items; None: the list is the body.
        max_bytes: maximum size of a body; None: unlimited.
        envelope: size of a body without items.
    """

    size: int
    format: Literal["json", "ndjson"]
    items: Expression | None
    key: str | None
    wrap: Expression | None = None
    max_bytes: int | None = None
    envelope: int = 0

    @property
    def measures(self) -> bool:
        """Whether `size_of` has to be called for each item."""
        return self.wrap is not None or self.max_bytes is not None

    def request(self, requests: Sequence[Request]) -> Request | ErrorInfo:
        """Combine the requests of several records, which differ only in their bodies.

        The result is an error of kind `template` if `wrap` does not accept the list.
        """
        bodies = [request.content or b"null" for request in requests]
        if self.wrap is not None:
            wrapped = _wrapped(self.wrap, bodies)
            return wrapped if isinstance(wrapped, ErrorInfo) else Request(requests[0].head, wrapped)
        if self.format == "json":
            body = b"[%b]" % b",".join(bodies)
        else:
            body = b"".join([_one_line(body) + b"\n" for body in bodies])
        return Request(requests[0].head, body)

    def holds(self, requests: Sequence[Request], another: Request) -> bool:
        """Return whether a batch of some records, each of which it can hold, can hold another."""
        if self.max_bytes is None:
            return True
        sizes = [self.size_of(request) for request in (*requests, another)]
        total = sum(size for size in sizes if not isinstance(size, ErrorInfo))
        return self.envelope + total - 1 <= self.max_bytes

    def size_of(self, request: Request) -> int | ErrorInfo:
        """Return the bytes that a record's item adds to a body, separator included.

        The result is an error of kind `template` if `wrap` does not accept the item, and of kind
        `too_large` if no batch can hold it.
        """
        item = request.content or b"null"
        size = len(item) + 1
        if self.wrap is not None:
            wrapped = _wrapped(self.wrap, [item])
            if isinstance(wrapped, ErrorInfo):
                return wrapped
            size = max(0, len(wrapped) - self.envelope) + 1
        if self.max_bytes is not None and self.envelope + size - 1 > self.max_bytes:
            body, limit = (counted(n, "byte") for n in (self.envelope + size - 1, self.max_bytes))
            why = f"a batch of this record alone has {body}, more than batch.bytes allows ({limit})"
            return ErrorInfo("too_large", why)
        return size

    def key_of(self, request: Request) -> bytes | ErrorInfo:
        """Return the key of a record's item as JSON text; "" where items match by position.

        The result is an error of kind `template` if the item has no key.
        """
        if self.key is None:
            return b""
        try:
            return key_in(request.content or b"null", self.key)
        except MissingField as exc:
            why = f", {exc.why}" if exc.why else ""
            why = f"the item to send has no field {self.key}, which batch.key names{why}"
            return ErrorInfo("template", printable(why))

    def answers(
        self, response: Response, keys: Sequence[bytes]
    ) -> Sequence[bytes | ErrorInfo] | ErrorInfo:
        """Return the items of an ok response, as JSON text, in the order of the records.

        Args:
            response: to a request of this batch.
            keys: of the items that were sent.

        Returns:
            For each key an item, or an error of kind `protocol` if there is not exactly one; or an
            error for all of them, of kind `protocol` if items cannot be assigned, or of kind
            `decode` if there is no list of items.
        """
        try:
            items = self._items(response)
        except NotJSON as exc:
            return ErrorInfo("decode", f"the response to a batch is not JSON: {exc}")
        except (ExpressionError, _NoList, RecursionError) as exc:
            return ErrorInfo("decode", f"the response to a batch: {printable(str(exc))}")
        if self.key is not None:
            return _by_key(items, self.key, keys)
        if len(items) != len(keys):
            why = f"{counted(len(items), 'item')} came back for a batch of {len(keys)}"
            return ErrorInfo("protocol", why)
        return items

    def _items(self, response: Response) -> list[bytes]:
        if not response.body:
            raise _NoList("it is empty")
        if self.items is None and self.format == "ndjson" and not _says_json(response):
            body = in_utf8(response.body, response.headers)
            lines = [line for line in body.split(b"\n") if line.strip()]
            for line in lines:
                check_json(line)
            return lines
        body = json_of(response)
        if self.items is None:
            items = split_list(body)
            if items is None:
                raise _NoList("not a list: set batch.items to the path of the list")
            return items
        found = self.items.search(decode_spelled(body))
        if not isinstance(found, list):
            raise _NoList("batch.items does not find a list in it")
        return [encode_json(item) for item in found]


def _by_key(items: Sequence[bytes], name: str, keys: Sequence[bytes]) -> list[bytes | ErrorInfo]:
    """Return the item that has each key, or an error where none or several have it."""
    found: dict[bytes, list[bytes]] = {}
    for item in items:
        try:
            found.setdefault(key_in(item, name), []).append(item)
        except MissingField:
            continue  # it belongs to no record
    return [_only(found.get(key, ()), name, key, counted(len(items), "item")) for key in keys]


def _only(found: Sequence[bytes], name: str, key: bytes, total: str) -> bytes | ErrorInfo:
    if len(found) == 1:
        return found[0]
    which = f"of {total} that came back, {len(found) or 'none'} {'have' if found else 'has'}"
    return ErrorInfo("protocol", printable(f"{which} this record's {name}: {key.decode()}"))


def _wrapped(wrap: Expression, bodies: Sequence[bytes]) -> bytes | ErrorInfo:
    """Return the body with these items in their envelope; an error of kind `template` if none."""
    try:
        return encode_json(wrap.search([decode_spelled(body) for body in bodies]))
    except MissingField as exc:
        return ErrorInfo("template", printable(f"batch.wrap: there is no field {exc}"))
    except ExpressionError as exc:
        return ErrorInfo("template", str(exc))
    except RecursionError:
        return ErrorInfo("template", "batch.wrap: the body is nested too deeply to be sent")


class _NoList(Exception):
    """A response without a list of items."""


def plan_batch(batch: Batch, requests: RequestBuilder) -> BatchPlan:
    """Return how the requests of an API are batched.

    Raises:
        ConfigError: records would need different requests.
    """
    if requests.key is not None:
        why = "cannot be combined with idempotency_key: remove one of them"
        raise ConfigError(why, key="batch")
    if requests.has_record_in_head:
        why = "cannot be combined with {field} in a URL or header: remove one of them"
        raise ConfigError(why, key="batch")
    if not requests.has_body or requests.body_format != "json":
        why = "requests without a JSON body: use method POST, and no body_format"
        raise ConfigError(why, key="batch")
    items = Expression("batch.items", batch.items, strict=False) if batch.items else None
    wrap = None if batch.wrap is None else _plan_wrap(batch.wrap, batch.format)
    return BatchPlan(
        size=batch.size,
        format=batch.format,
        items=items,
        key=batch.key,
        wrap=wrap,
        max_bytes=None if batch.bytes is None else parse_size(batch.bytes),
        envelope=_envelope(wrap, batch.format),
    )


def _plan_wrap(text: str, format: Literal["json", "ndjson"]) -> Expression:
    wrap = Expression("batch.wrap", text, strict=True)
    if format == "ndjson":
        why = 'an envelope is one JSON value: leave out format = "ndjson"'
        raise ConfigError(why, key="batch.wrap")
    first, second = (_wrapped(wrap, [sample]) for sample in (b'"a"', b'"b"'))
    if first == second and not isinstance(first, ErrorInfo):
        why = 'the records are not in it: use @ for the list of them, as in "{input: @}"'
        raise ConfigError(why, key="batch.wrap")
    return wrap


def _envelope(wrap: Expression | None, format: Literal["json", "ndjson"]) -> int:
    """Return the size of a body without items; 0 if `wrap` needs some."""
    if wrap is None:
        return 2 if format == "json" else 0
    empty = _wrapped(wrap, [])
    return 0 if isinstance(empty, ErrorInfo) else len(empty)


def key_in(item: bytes, name: str) -> bytes:
    """Return the key of an item as text.

    Numbers that are equal give the same key, and so do a number and a string of its digits: many
    APIs return the one for the other.

    Raises:
        MissingField: the item has no such field.
    """
    key = find_field(decode_spelled(item), name)
    if isinstance(key, JSONNumber) and math.isfinite(key):
        key = int(key) if key.is_integer() else float(key)
    text = encode_json(key)
    if isinstance(key, str) and _NUMBER.fullmatch(key):
        return key.encode()
    return text


def _says_json(response: Response) -> bool:
    kind = response.header(b"content-type") or b""
    return kind.partition(b";")[0].strip().lower() == b"application/json"


def _one_line(json: bytes) -> bytes:
    """Return JSON text without line breaks, which can only stand between its tokens."""
    return (
        json.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in json or b"\r" in json else json
    )

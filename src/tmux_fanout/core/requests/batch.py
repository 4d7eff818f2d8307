"""Many records in one request: building the request, and assigning the response's items.

A returned item belongs to the record whose item was sent at the same position, or with the same
key.  Where that is uncertain it belongs to none: the wrong answer to a record is worse than none.
"""

from __future__ import annotations

import math
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

# A batch rejected with one of these is halved until the record at fault stands alone.
REFUSED_BATCH = frozenset({400, 413, 422})


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the records of one API share requests.

    Attributes:
        size: maximum records of a request.
        format: a JSON list, or one JSON value on each line.
        items: finds the list in the response; None: the response is the list.
        key: field by which sent items match returned ones; None: by position.
    """

    size: int
    format: Literal["json", "ndjson"]
    items: Expression | None
    key: str | None

    def request(self, requests: Sequence[Request]) -> Request:
        """Combine the requests of several records, which differ only in their bodies."""
        bodies = [request.body or b"null" for request in requests]
        if self.format == "json":
            body = b"[%b]" % b",".join(bodies)
        else:
            body = b"".join([_one_line(body) + b"\n" for body in bodies])
        return Request(requests[0].head, body)

    def key_of(self, request: Request) -> bytes | ErrorInfo:
        """Return the key of a record's item as JSON text; "" where items match by position.

        The result is an error of kind `template` if the item has no key.
        """
        if self.key is None:
            return b""
        try:
            return _key_in(request.body or b"null", self.key)
        except MissingField as exc:
            why = f", {exc.why}" if exc.why else ""
            why = f"the item to send has no field {self.key}, which batch.key names{why}"
            return ErrorInfo("template", printable(why))

    def answers(self, response: Response, keys: Sequence[bytes]) -> list[bytes] | ErrorInfo:
        """Return the items of an ok response, as JSON text, in the order of the records.

        Args:
            response: to a request of this batch.
            keys: of the items that were sent.

        Returns:
            An item for each key; or an error, of kind `protocol` if items cannot be assigned, or
            of kind `decode` if there are none to be found.
        """
        try:
            items = self._items(response)
        except NotJSON as exc:
            return ErrorInfo("decode", f"the response to a batch is not JSON: {exc}")
        except (ExpressionError, _NoList, RecursionError) as exc:
            return ErrorInfo("decode", f"the response to a batch: {printable(str(exc))}")
        if len(items) != len(keys):
            why = f"{counted(len(items), 'item')} came back for a batch of {len(keys)}"
            return ErrorInfo("protocol", why)
        if self.key is None:
            return items
        try:
            found = {_key_in(item, self.key): item for item in items}
            return [found[key] for key in keys]
        except (MissingField, KeyError):
            return ErrorInfo("protocol", f"the items' values of {self.key} do not match the batch")

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
    return BatchPlan(size=batch.size, format=batch.format, items=items, key=batch.key)


def _key_in(item: bytes, name: str) -> bytes:
    """Return the key of an item as JSON; numbers that are equal give the same key.

    Raises:
        MissingField: the item has no such field.
    """
    key = find_field(decode_spelled(item), name)
    if isinstance(key, JSONNumber) and math.isfinite(key):
        key = int(key) if key.is_integer() else float(key)
    return encode_json(key)


def _says_json(response: Response) -> bool:
    kind = response.header(b"content-type") or b""
    return kind.partition(b";")[0].strip().lower() == b"application/json"


def _one_line(json: bytes) -> bytes:
    """Return JSON text without line breaks, which can only stand between its tokens."""
    return (
        json.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in json or b"\r" in json else json
    )

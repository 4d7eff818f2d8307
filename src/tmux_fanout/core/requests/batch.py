"""Many records in one request: the request of a batch, and what of its response is whose.

An item that came back belongs to the record whose item went out at the same place, or with the
same key.  Where that is not certain, it is nobody's: the wrong answer to a record is worse than
none.
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
from tmux_fanout.core.text import printable

# A batch that is refused with one of these is halved, until what spoils it stands alone.
TOO_MUCH_OR_BAD = frozenset({400, 413, 422})


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the records of one API share requests.

    Attributes:
        size: most records of a request.
        format: a JSON list, or one JSON value on each line.
        items: finds the list in the response; None: the response is the list.
        key: the field that a sent item has in common with its answer; None: their places.
    """

    size: int
    format: Literal["json", "ndjson"]
    items: Expression | None
    key: str | None

    def request(self, requests: Sequence[Request]) -> Request:
        """One request out of those of the records, which differ in their bodies only."""
        bodies = [request.body or b"null" for request in requests]
        if self.format == "json":
            body = b"[%b]" % b",".join(bodies)
        else:
            body = b"".join([_one_line(body) + b"\n" for body in bodies])
        return Request(requests[0].head, body)

    def key_of(self, request: Request) -> bytes | ErrorInfo:
        """What tells a record's item from others, as JSON text; "" where its place does.

        An error of kind `template` where the item has none.
        """
        if self.key is None:
            return b""
        try:
            return _key_in(request.body or b"null", self.key)
        except MissingField as exc:
            why = f"what is sent has no field {printable(str(exc))}, which batch.key names"
            return ErrorInfo("template", why)

    def answers(self, response: Response, keys: Sequence[bytes]) -> list[bytes] | ErrorInfo:
        """The items of an ok response, as JSON text, in the order of the records.

        Args:
            keys: those of the items that were sent.

        Returns:
            As many as there are keys; or why they cannot be told apart, of kind `protocol`, or
            `decode` where the response is not JSON.
        """
        try:
            items = self._items(response)
        except NotJSON as exc:
            return ErrorInfo("decode", f"the response to a batch is not JSON: {exc}")
        except (ExpressionError, _NoList, RecursionError) as exc:
            return ErrorInfo("decode", f"the response to a batch: {printable(str(exc))}")
        if len(items) != len(keys):
            return ErrorInfo("protocol", f"{len(items)} items came back for a batch of {len(keys)}")
        if self.key is None:
            return items
        try:
            found = {_key_in(item, self.key): item for item in items}
            return [found[key] for key in keys]
        except (MissingField, KeyError):
            return ErrorInfo("protocol", f"the {self.key} of the items are not those of the batch")

    def _items(self, response: Response) -> list[bytes]:
        body = response.body
        if self.items is None and self.format == "ndjson" and not _says_json(response):
            rows = [line for line in body.split(b"\n") if line.strip()]
            for row in rows:
                check_json(row)
            return rows
        check_json(body)
        if self.items is None:
            items = split_list(body)
            if items is None:
                raise _NoList("it is no list; batch.items says where in it that is")
            return items
        found = self.items.search(decode_spelled(body))
        if not isinstance(found, list):
            raise _NoList("batch.items finds no list in it")
        return [encode_json(item) for item in found]


class _NoList(Exception):
    """A response in which there is no list of items."""


def plan_batch(batch: Batch, requests: RequestBuilder) -> BatchPlan:
    """How to batch, or None.

    Raises:
        ConfigError: records would need different requests.
    """
    if requests.key_for is not None:
        raise ConfigError("batch: an idempotency_key is of one record; leave it out")
    if requests.has_record_in_head:
        why = "a URL or header with {field} differs by record; leave it out"
        raise ConfigError(why, key="batch")
    if not requests.has_body or requests.body_format != "json":
        why = "its requests have a JSON body; write method POST, no body_format"
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
    """JSON text without line breaks, which it can have between its tokens only."""
    return (
        json.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in json or b"\r" in json else json
    )

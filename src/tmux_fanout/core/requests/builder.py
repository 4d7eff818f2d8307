"""From a record to the request of one API.

What no record changes is prepared before the first one comes: the origin, plain headers and, where
only the body depends on the record, the whole request head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Headers, Origin, Request, RequestHead, unsafe_in_header
from tmux_fanout.core.json_text import decode_spelled, encode_json
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.fields import MissingField, as_text, find_field
from tmux_fanout.core.requests.options import BodyFormat
from tmux_fanout.core.requests.url_template import UnsafeExpansion, UrlTemplate
from tmux_fanout.core.text import describe, printable

_FIELD = re.compile(r"(?<!\$)\{(\w+(?:[.-]\w+)*)\}")

HeaderTemplate = tuple[str, ...]
"""Texts and names of fields in turns, a text first."""


class Skipped(msgspec.Struct, frozen=True):
    """No request: `when` says that the record is not for this API."""


class RequestBuilder(msgspec.Struct, frozen=True, kw_only=True):
    """Makes the requests of one API.

    Attributes:
        method: in upper case.
        origin: where all of them go.
        target: path and query, or their template.
        headers: those that no record changes.
        templated: those with `{field}` in their values, taken apart.
        when: whether to call at all; None: yes.
        body: what to send of the record; None: all of it.
        body_format: how that is spelled.
        has_body: whether the request carries any.
        key_for: the API's name, if requests have an Idempotency-Key.
        passes_record: whether a request has nothing but the record, or nothing of it; set here.
    """

    method: str
    origin: Origin
    target: str | UrlTemplate
    headers: Headers
    templated: tuple[tuple[str, HeaderTemplate], ...] = ()
    when: Expression | None = None
    body: Expression | None = None
    body_format: BodyFormat = "json"
    has_body: bool = True
    key_for: str | None = None
    _ready_head: RequestHead | None = None
    passes_record: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.target, str) and not self.templated and self.key_for is None:
            head = RequestHead(self.method, self.origin, self.target, self.headers, is_shared=True)
            msgspec.structs.force_setattr(self, "_ready_head", head)
            plain = not self.has_body or (self.body is None and self.body_format == "json")
            msgspec.structs.force_setattr(self, "passes_record", plain and self.when is None)

    def __repr__(self) -> str:
        origin = f"{self.origin.scheme}://{self.origin.authority}"
        names = ", ".join(name for name, _ in self.headers + self.templated)
        return f"<RequestBuilder: {self.method} {origin}, {names}>"

    @property
    def has_record_in_head(self) -> bool:
        """Whether URL or headers have fields of the record in them."""
        return self._ready_head is None

    def build(
        self, record: Record, results: Mapping[str, Any] | None = None
    ) -> Request | Skipped | ErrorInfo:
        """The request for a record, or why there is none; an error of kind `template`.

        Args:
            results: what expressions see as `_results`: outcomes by the names of their APIs.
        """
        if self._ready_head is not None and self.passes_record:
            return Request(self._ready_head, record.json if self.has_body else None)
        try:
            return self._build(record, results)
        except MissingField as exc:
            why = f"the record has no field {printable(str(exc))}"
        except UnicodeEncodeError as exc:
            why = f"{describe(exc.object[exc.start])} is half a character, which cannot be sent"
        except (ExpressionError, UnsafeExpansion, _Unsendable) as exc:
            why = str(exc)
        except RecursionError:
            why = "body: what is to be sent is nested too deeply"
        except Exception as exc:
            return internal_error(exc)
        return ErrorInfo("template", why)

    def _build(self, record: Record, results: Mapping[str, Any] | None) -> Request | Skipped:
        plain = value = decode_spelled(record.json)
        if results is not None:
            fields = plain if isinstance(plain, dict) else {"value": plain}
            value = {**fields, "_results": results}
        if self.when is not None and not self.when.search(value):
            return Skipped()
        body = self._body(record, plain if self.body is None else value)
        return Request(self._ready_head or self._head(record, value), body)

    def _head(self, record: Record, value: Any) -> RequestHead:
        target = self.target if isinstance(self.target, str) else self.target.expand(value)
        filled = tuple((name, _fill(name, parts, value)) for name, parts in self.templated)
        if self.key_for is not None:
            filled += (("Idempotency-Key", idempotency_key(self.key_for, record)),)
        return RequestHead(self.method, self.origin, target, self.headers + filled)

    def _body(self, record: Record, value: Any) -> bytes | None:
        if not self.has_body:
            return None
        if self.body is not None:
            value = self.body.search(value)
        elif self.body_format == "json":
            return record.json
        if self.body_format == "json":
            return encode_json(value)
        if self.body_format == "form":
            return _form(value)
        return value.encode() if isinstance(value, str) else encode_json(value)


def idempotency_key(api: str, record: Record) -> str:
    """What tells an API that it has seen a request (draft-ietf-httpapi-idempotency-key-header).

    It depends on nothing but the API's name and the record, its place included, so it is the same
    in each attempt and in a run that is resumed.
    """
    text = b"%b\0%d\0%b" % (api.encode(), record.index, record.json)
    return f'"{sha256(text).hexdigest()[:32]}"'


class _Unsendable(ValueError):
    """A value that cannot stand where it is to be sent."""


def _fill(name: str, template: HeaderTemplate, value: Any) -> str:
    """A header's value with each field filled in."""
    filled = "".join(
        as_text(find_field(value, part), part) if place % 2 else part
        for place, part in enumerate(template)
    )
    if unsafe_in_header(filled):
        raise _Unsendable(f"header {name}: a field holds characters that no header can")
    return filled


def split_header(text: str) -> HeaderTemplate:
    """A header's value taken apart at each `{field}`: texts and names of fields in turns."""
    return tuple(_FIELD.split(text))


def _form(value: Any) -> bytes:
    """An object as a form (WHATWG URL, section 5.2); lists give their key several times."""
    if not isinstance(value, dict):
        raise _Unsendable("body_format form: the body is no object; write one such as {q: message}")
    pairs = [
        (key, as_text(item, key))
        for key, found in value.items()
        for item in (found if isinstance(found, list) else [found])
        if item is not None
    ]
    return urlencode(pairs).encode()

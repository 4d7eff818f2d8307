"""From a record to the request of one API.

Whatever is the same for all records is prepared once: the origin, plain headers and, where only
the body depends on the record, the whole request head.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any, assert_never

import msgspec

from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.auth import SentAuth
from tmux_fanout.core.http.messages import Headers, Origin, Request, RequestHead, unsafe_in_header
from tmux_fanout.core.json_text import decode_spelled, encode_json
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.fields import (
    FIELD_NAME,
    MissingField,
    as_text,
    find_optional,
    missing_field,
)
from tmux_fanout.core.requests.forms.encoding import Unsendable, encode_form, make_upload
from tmux_fanout.core.requests.options import BodyFormat
from tmux_fanout.core.requests.templates.body import BodyTemplate
from tmux_fanout.core.requests.url_template import UnsafeExpansion, UrlTemplate
from tmux_fanout.core.text import describe, printable
from tmux_fanout.core.uploads.form import Upload

_FIELD = re.compile(rf"(?<!\$)\{{({FIELD_NAME}\??)\}}")

KEY_HEADER = "Idempotency-Key"  # draft-ietf-httpapi-idempotency-key-header

HeaderTemplate = tuple[str, ...]
"""Alternating text and field names, text first; a name that ends in ? may be missing."""


class Skipped(msgspec.Struct, frozen=True):
    """No request: `when` rules the record out for this API."""


class RequestBuilder:
    """Builds the requests of one API.

    Args:
        method: in upper case.
        origin: of all requests.
        target: path and query, or their template.
        headers: those that are the same for all records.
        templated: those with `{field}` in their values, split.
        when: whether to call at all; None: always.
        body: what to send of the record; None: all of it.
        body_format: how the body is encoded.
        template: makes the body instead; `body_format` is then what it makes.
        has_body: whether requests have a body.
        key: where the Idempotency-Key of a request comes from: the name of the API, to derive it
            from that and the record with its index; or its template.  None: there is none.
        auth: credentials that are added to requests as they are sent, or None.
        files_root: path of the folder that files of forms are in; "" if they have none.

    Attributes:
        passes_record: whether requests differ at most in a body that is the record as it is.
        tells_time: whether an expression calls `now()`.
    """

    __slots__ = (
        *(
            "_make_body",
            "_ready_head",
            "body",
            "body_format",
            "files_root",
            "has_body",
            "headers",
            "key",
            "method",
        ),
        *("auth", "origin", "passes_record", "target", "tells_time", "template", "templated"),
        "when",
    )

    def __init__(
        self,
        *,
        method: str,
        origin: Origin,
        target: str | UrlTemplate,
        headers: Headers,
        templated: tuple[tuple[str, HeaderTemplate], ...] = (),
        when: Expression | None = None,
        body: Expression | None = None,
        body_format: BodyFormat = "json",
        template: BodyTemplate | None = None,
        has_body: bool = True,
        key: str | HeaderTemplate | None = None,
        auth: SentAuth | None = None,
        files_root: str = "",
    ) -> None:
        self.method = method
        self.origin = origin
        self.body_format = body_format
        self.has_body = has_body
        self.target = target
        self.headers = headers
        self.templated = templated
        self.when = when
        self.body = body
        self.template = template
        self.key = key
        self.auth = auth
        self.files_root = files_root
        self._ready_head: RequestHead | None = None
        if isinstance(target, str) and not templated and key is None:
            self._ready_head = RequestHead(method, origin, target, headers, True, auth)
        makes_body = body is not None or template is not None or body_format != "json"
        sends_record = not has_body or not makes_body
        self._make_body = self._encode if template is None else self._fill_template
        self.tells_time = any(each is not None and each.tells_time for each in (when, body))
        self.passes_record = self._ready_head is not None and when is None and sends_record

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers + self.templated)
        return f"<RequestBuilder: {self.method} {self.origin.url}, {names}>"

    @property
    def has_record_in_head(self) -> bool:
        """Whether the URL or headers depend on the record."""
        return self._ready_head is None

    @property
    def fields(self) -> dict[str, str]:
        """Where the fields of the record that it fills in are used, by their names."""
        places: dict[str, str] = {}
        if isinstance(self.target, UrlTemplate):
            places = dict.fromkeys(self.target.names, "url")
        key = [] if self.key is None or isinstance(self.key, str) else [(KEY_HEADER, self.key)]
        for header, parts in (*self.templated, *key):
            for name in parts[1::2]:
                places.setdefault(name.removesuffix("?"), f"header {header}")
        for name in self.template.names if self.template else ():
            places.setdefault(name.removesuffix("?"), "body")
        return places

    def is_called_for(self, record: Record) -> bool:
        """Return whether `when` holds for a record, or may: if it asks for the time, or fails."""
        if self.when is None or self.when.tells_time:
            return True
        try:
            return self.when.holds(decode_spelled(record.json))
        except (ExpressionError, MissingField, RecursionError):
            return True

    def fields_of(
        self, names: Collection[str], record: Record, results: Mapping[str, Any] | None = None
    ) -> set[str]:
        """Return those of these fields that have a value; record and results as for `build`."""
        try:
            _, value = values_of(record, results)
        except RecursionError:
            return set()
        return {name for name in names if find_optional(value, name) is not None}

    def build(
        self, record: Record, results: Mapping[str, Any] | None = None, now: float = 0.0
    ) -> Request | Skipped | ErrorInfo:
        """Return the request for a record, or why there is none: an error of kind `template`.

        Args:
            record: a valid one.
            results: what expressions see as `_results`: outcomes by the names of their APIs.
            now: seconds since 1970; only needed where an expression tells the time.
        """
        if self._ready_head is not None and self.passes_record:
            return Request(self._ready_head, record.json if self.has_body else None)
        try:
            return self._build(record, results, now)
        except MissingField as exc:
            why = exc.sentence
        except UnicodeEncodeError as exc:
            why = f"{describe(exc.object[exc.start])} is half a character, which cannot be sent"
        except (ExpressionError, UnsafeExpansion, Unsendable) as exc:
            why = str(exc)
        except RecursionError:
            why = "body: nested too deeply to be sent"
        except Exception as exc:
            return internal_error(exc)
        return ErrorInfo("template", why)

    def _build(
        self, record: Record, results: Mapping[str, Any] | None, now: float
    ) -> Request | Skipped:
        plain, value = values_of(record, results)
        if self.when is not None and not self.when.holds(value, now):
            return Skipped()
        body = self._make_body(record, plain, value, now)
        return Request(self._ready_head or self._head(record, value), body)

    def _head(self, record: Record, value: Any) -> RequestHead:
        target = self.target if isinstance(self.target, str) else self.target.expand(value)
        filled = tuple(
            (name, text)
            for name, parts in self.templated
            if (text := _fill(name, parts, value)) is not None
        )
        if self.key is not None:
            filled += ((KEY_HEADER, _key(self.key, record, value)),)
        headers = self.headers + filled
        return RequestHead(self.method, self.origin, target, headers, auth=self.auth)

    def _fill_template(self, _: Record, __: Any, value: Any, ___: float) -> bytes | None:
        assert self.template is not None
        return self.template.render(value)

    def _encode(self, record: Record, plain: Any, value: Any, now: float) -> bytes | Upload | None:
        if not self.has_body:
            return None
        if self.body is not None:
            content = self.body.search(value, now)
        elif self.body_format == "json":
            return record.json
        else:
            content = plain
        if self.body_format == "json":
            return encode_json(content)
        if self.body_format == "form":
            return encode_form(content)
        if self.body_format == "multipart":
            return make_upload(content, self.files_root)
        if self.body_format == "raw":
            return content.encode() if isinstance(content, str) else encode_json(content)
        assert_never(self.body_format)


def values_of(record: Record, results: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """Return the value of a record, and what expressions and templates see of it."""
    plain = decode_spelled(record.json)
    if results is None:
        return plain, plain
    fields = plain if isinstance(plain, dict) else {"value": plain}
    return plain, {**fields, "_results": results}


def _key(source: str | HeaderTemplate, record: Record, value: Any) -> str:
    """Return the key by which an API recognises a repeated request; see `RequestBuilder`."""
    if isinstance(source, str):
        return derive_key(source, record)
    filled = _fill(KEY_HEADER, source, value)
    if filled is None or not any(text.strip() for text in _texts(source, value) if text):
        fields = " and ".join(name.removesuffix("?") for name in source[1::2])
        raise Unsendable(f"header {KEY_HEADER}: {printable(fields)} would make an empty key")
    return filled


def derive_key(api: str, record: Record) -> str:
    """Return the key of a record at an API.

    It depends only on the API's name and the record with its index, so that it is the same in all
    attempts and in a resumed run.
    """
    text = b"%b\0%d\0%b" % (api.encode(), record.index, record.json)
    return f'"{sha256(text).hexdigest()[:32]}"'


def _fill(name: str, template: HeaderTemplate, value: Any) -> str | None:
    """Return a header's value with its fields filled in; None if it has none of them."""
    texts = _texts(template, value)
    if not any(text is not None for text in texts):
        return None
    parts = list(template)
    parts[1::2] = [text or "" for text in texts]
    filled = "".join(parts)
    if unsafe_in_header(filled):
        raise Unsendable(f"header {name}: a field has characters that no header can hold")
    return filled


def _texts(template: HeaderTemplate, value: Any) -> list[str | None]:
    """Return the fields of a template as text; None for one that may be missing, and is."""
    return [_text(value, name) for name in template[1::2]]


def _text(value: Any, name: str) -> str | None:
    is_optional = name[-1] == "?"
    if is_optional:
        name = name[:-1]
    found = find_optional(value, name)
    if found is not None:
        return as_text(found, name)
    if is_optional:
        return None
    raise missing_field(value, name)


def split_header(text: str) -> HeaderTemplate:
    """Split a header's value at each `{field}`."""
    return tuple(_FIELD.split(text))

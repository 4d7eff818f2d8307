"""The settings of request bodies: formats and batches."""

from __future__ import annotations

from typing import Literal

import msgspec

BodyFormat = Literal["json", "raw", "form"]

CONTENT_TYPES: dict[BodyFormat, str] = {
    "json": "application/json",
    "raw": "text/plain; charset=utf-8",
    "form": "application/x-www-form-urlencoded",
}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Many records in one request.

    Attributes:
        size: maximum records of a request.
        format: a JSON list, or one JSON value on each line.
        items: JMESPath expression for the list in the response; None: the response is the list.
        key: field by which sent items match returned ones; None: by position.
    """

    size: int
    format: Literal["json", "ndjson"] = "json"
    items: str | None = None
    key: str | None = None

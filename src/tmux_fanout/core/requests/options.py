"""Settings of requests: formats of bodies and streams, batches and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from tmux_fanout.core.http.auth import Auth
from tmux_fanout.core.uploads.form import CONTENT_TYPE

BodyFormat = Literal["json", "raw", "form", "multipart"]
StreamFormat = Literal["ndjson", "sse"]
Compression = Literal["gzip"]

CONTENT_TYPES: dict[BodyFormat, str] = {
    "json": "application/json",
    "raw": "text/plain; charset=utf-8",
    "form": "application/x-www-form-urlencoded",
    "multipart": CONTENT_TYPE,
}


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Many records in one request.

    Attributes:
        size: maximum records of a request.
        format: a JSON list, or one JSON value on each line.
        items: JMESPath expression for the list in the response; None: the response is the list.
        key: field by which sent items match returned ones; None: by position.
        wrap: JMESPath expression for the body, over the list of items; None: the list is the body.
        bytes: maximum size of a body; None: unlimited.
    """

    size: int
    format: Literal["json", "ndjson"] = "json"
    items: str | None = None
    key: str | None = None
    wrap: str | None = None
    bytes: int | str | None = None


class PagesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The pages of a list, in one call.

    Attributes:
        next: `link`, or JMESPath expression for the URL or token of the next page.
        param: parameter that the token goes into; None: it is a URL.
        items: JMESPath expression for the items of a page; None: the page is the list.
        max: maximum number of pages.
    """

    next: str
    param: str | None = None
    items: str | None = None
    max: int = 100


class PollSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is asked for until it is done.

    Attributes:
        url: template of the URL to ask at.
        until: JMESPath expression over the body of a poll: whether the job is done.
        failed: the same: whether it has failed; None: that is not known.
        every: duration between two polls.
        max: duration from the submission until the last poll.
    """

    url: str
    until: str
    failed: str | None = None
    every: float | str = "2s"
    max: float | str = "10m"


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of an API, as it is written.

    Attributes:
        url: base URL.
        auth: credentials there in place of those of the API; None: the same; False: none.
        headers: headers there, over those of the API; False: not that one.
        limit: maximum attempts in flight there.
        rate: maximum attempts per unit of time there, in the forms of an API's rate.
        weight: its share of the attempts, relative to the others.
    """

    url: str
    auth: Auth | Literal[False] | None = None
    headers: Mapping[str, str | Literal[False]] = {}
    limit: int | None = None
    rate: Any = None
    weight: float = 1.0

    def __repr__(self) -> str:
        return "<EndpointSettings>"  # no more: the rest may hold secrets

"""Streams of values as lists of them.

The value of a line of NDJSON is its JSON.  That of a server-sent event is its data: JSON, or else
text.  An event with a name becomes `{"event": name, "data": value}`, as it is often the name that
tells an error from a result.  The last event of OpenAI and others, `[DONE]`, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

import msgspec
from msgspec import structs

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import NotJSON, check_json, encode_text
from tmux_fanout.core.policy.answers import Judged, Repeatable
from tmux_fanout.core.requests.options import StreamFormat
from tmux_fanout.core.requests.response_body import in_utf8
from tmux_fanout.core.requests.streams.events import Event, parse_events
from tmux_fanout.core.text import printable

_EVENT_STREAM = "text/event-stream"
_FORMATS: Mapping[str, StreamFormat] = {
    _EVENT_STREAM: "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json-lines": "ndjson",
}
_DONE = "[DONE]"


class StreamReader(msgspec.Struct, frozen=True):
    """Reads the streams of one API.

    Attributes:
        format: of the streams.
        last: whether only the last value of each is kept.
    """

    format: StreamFormat
    last: bool = False

    def read(self, response: Response) -> Response:
        """Return an ok response with its values, as JSON, in place of its body.

        The body becomes a list, or the last value or null; the result is `Judged` as not ok, with
        kind `decode`, if the body is no stream of this format.
        """
        try:
            values = list(self._values(response))
        except _NoStream as exc:
            fields = structs.asdict(response)
            fields["never_ok"], fields["note"] = True, str(exc)
            return Judged(**fields, repeatable=Repeatable.NEVER, kind="decode")
        body = (values or [b"null"])[-1] if self.last else b"[%b]" % b",".join(values)
        return structs.replace(response, body=body)

    def _values(self, response: Response) -> Iterator[bytes]:
        if self.format == "ndjson":
            return _lines(response)
        if self.format == "sse":
            return _events(response)
        assert_never(self.format)


def advise_stream(response: Response) -> str:
    """Return what to set for a response that was taken for JSON and is a stream; "" if it is none.

    It goes on a sentence.
    """
    stream = _FORMATS.get(_type_of(response).lower())
    return f'; set stream = "{stream}"' if stream else ""


def _type_of(response: Response) -> str:
    value = response.header(b"content-type") or b""
    return value.decode("latin-1").partition(";")[0].strip()


class _NoStream(ValueError):
    """A body that is no stream of the format; the text says why."""


def _lines(response: Response) -> Iterator[bytes]:
    body = in_utf8(response.body, response.headers)
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            check_json(line)
        except NotJSON as exc:
            raise _NoStream(f"line {number} of the response is not JSON: {exc}") from None
        yield line.strip()


def _events(response: Response) -> Iterator[bytes]:
    kind = _type_of(response)
    if kind.lower() != _EVENT_STREAM:
        what = f"is {printable(kind)}" if kind else "has no Content-Type"
        raise _NoStream(f"the response {what}, and not {_EVENT_STREAM}, which stream = 'sse' needs")
    try:
        events = list(parse_events(response.body.decode()))
    except UnicodeDecodeError:
        raise _NoStream(f"the response is not UTF-8, which {_EVENT_STREAM} has to be") from None
    if events and events[-1] == Event("", _DONE):
        events.pop()
    return map(_value_of, events)


def _value_of(event: Event) -> bytes:
    data = event.data.encode()
    try:
        check_json(data)
    except NotJSON:
        data = encode_text(event.data)
    return b'{"event":%b,"data":%b}' % (encode_text(event.name), data) if event.name else data

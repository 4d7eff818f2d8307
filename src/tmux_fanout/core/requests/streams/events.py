"""Server-sent events (WHATWG HTML, section 9.2.6, "Interpreting an event stream").

Lines end with CR, LF or CRLF.  A line is a comment if it begins with a colon, and else a field, up
to its first colon, with a value, without the one blank that may come before it.  The `data` of an
event may have several lines.  A blank line ends the event; one that has no `data` is none, and one
that the end of the stream cuts off is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_MARK = "\ufeff"
_LINE_END = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """An event; `name` is "" unless the stream gives it one other than `message`."""

    name: str
    data: str


def parse_events(text: str) -> Iterator[Event]:
    """Yield the events of a stream."""
    name, data = "", list[str]()
    *lines, _ = _LINE_END.split(text.removeprefix(_MARK))  # what follows the last line end is none
    for line in lines:
        if not line:
            if data:
                yield Event("" if name == "message" else name, "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value

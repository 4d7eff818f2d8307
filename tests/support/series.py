"""Servers of pages and jobs for scenarios, which answer by the URL and body of a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
import trio
from support.scripted import Answer, Script, ScriptedTransport

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress


class Asked:
    """A request as a server sees it.

    Attributes:
        method, path: of the request line.
        query: the parameters.
        headers: by name, in lower case.
        value: of the body, or None.
        time: its number among those to the same method, path and query, from 1.
        line: method and target.
    """

    def __init__(self, request: Request, times: Counter[str]) -> None:
        head = request.head
        self.line = f"{head.method} {head.target}"
        times[self.line] += 1
        self.time = times[self.line]
        parts = urlsplit(head.target)
        self.method, self.path = head.method, parts.path
        self.query = dict(parse_qsl(parts.query))
        self.headers = {name.lower(): value for name, value in head.headers}
        self.value: Any = msgspec.json.decode(request.content) if request.body else None


Server = Callable[[Asked], Answer]


class Serving(ScriptedTransport):
    """A transport to a server that sees the whole of each request.

    Attributes:
        lines: method and target of each request, in the order in which they were sent.
        asked: the requests.
    """

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._server = cast(Server, script)
        self._times: Counter[str] = Counter()
        self.asked: list[Asked] = []

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]

    async def play(self, request: Request, progress: Progress) -> Response:
        asked = Asked(request, self._times)
        self.asked.append(asked)
        self.sent_at.append((trio.current_time(), asked.value))
        answer = self._server(asked)
        progress.sent = True
        await trio.sleep(answer.delay)
        if answer.failure:
            raise answer.failure
        body = b"null" if answer.body is None else answer.body
        return Response(answer.status, answer.headers, body, len(body))


def script_of(server: Server) -> Script:
    """Return a server as `Scenario` takes it, with `transport=Serving`."""
    return cast(Script, server)


def says(value: Any, status: int = 200, *, after: float = 0.1, **headers: str) -> Answer:
    """Return an answer with this value as JSON; in names of headers, `_` stands for `-`."""
    lines = tuple(
        (name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()
    )
    return Answer(after, status, headers=lines, body=msgspec.json.encode(value))

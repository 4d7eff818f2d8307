"""A layer that follows redirects, around any transport."""

from __future__ import annotations

from msgspec.structs import replace

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.http.redirects import REDIRECTS, follow
from tmux_fanout.transports.base import Progress, Transport


class RedirectingTransport:
    """Follows redirects within the origin; one that it does not follow is the response.

    Once a redirect has turned a POST into a GET, the POST has been processed, whatever happens to
    the GET.  The result is marked accordingly, so that the engine does not repeat the POST.

    Args:
        transport: sends the requests.
        max_redirects: limit on redirects in a row.
    """

    def __init__(self, transport: Transport, max_redirects: int) -> None:
        self._transport = transport
        self._max_redirects = max_redirects

    def __repr__(self) -> str:
        return f"<RedirectingTransport: at most {self._max_redirects}, {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        response = await self._transport.send(request, progress)
        size, answered = response.wire_size, False
        for _ in range(self._max_redirects):
            if response.status not in REDIRECTS:
                break
            step = follow(request, response)
            if isinstance(step, str):
                return replace(response, wire_size=size, answered=answered, note=step)
            request, answered = step.request, answered or step.answered
            progress.sent = answered
            try:
                response = await self._transport.send(request, progress)
            except TransportError as error:
                if answered:
                    error.sent, error.stale, error.shortage = True, False, ""
                raise
            size += response.wire_size
        note = ""
        if response.status in REDIRECTS:
            note = f"the limit redirects = {self._max_redirects} is reached"
        return replace(response, wire_size=size, answered=answered, note=note)

    async def aclose(self) -> None:
        await self._transport.aclose()

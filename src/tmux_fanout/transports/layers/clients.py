"""A layer for an API whose endpoints have different credentials by OAuth 2.0, or some none."""

from __future__ import annotations

from collections.abc import Mapping

from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress, Transport


class ClientsTransport:
    """Sends each request with a token of the client that its head names.

    Args:
        transports: what sends the requests of each client; all of them on the same connections.
    """

    def __init__(self, transports: Mapping[OAuth2 | None, Transport]) -> None:
        self._transports = transports

    def __repr__(self) -> str:
        return f"<ClientsTransport: {list(self._transports.values())}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        return await self._transports[request.head.oauth2].send(request, progress)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()

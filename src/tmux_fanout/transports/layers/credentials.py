"""A layer for an API whose endpoints have different credentials that are added on sending."""

from __future__ import annotations

from collections.abc import Mapping

from tmux_fanout.core.http.auth import SentAuth
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Progress, Transport


class CredentialsTransport:
    """Sends each request with the credentials that its head names.

    Args:
        transports: what sends the requests with each; all of them on the same connections.
    """

    def __init__(self, transports: Mapping[SentAuth | None, Transport]) -> None:
        self._transports = transports

    def __repr__(self) -> str:
        return f"<CredentialsTransport: {list(self._transports.values())}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        return await self._transports[request.head.auth].send(request, progress)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()

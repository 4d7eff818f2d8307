"""A token endpoint, and an API that requires its tokens, on loopback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import trio
from support.client import Attempt, request_head
from support.server import Peer, Received, response

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.transports.base import Transport
from tmux_fanout.transports.select import open_transports

SECRET = "c4n4ry-secret"


class TokenEndpoint:
    """Issues `c4n4ry-1`, `c4n4ry-2` and so on, once its gate is open.

    Attributes:
        life: `expires_in`, or None to omit it.
        answer: sent instead of a token, if set.
        fetches: number of requests received.
    """

    def __init__(self) -> None:
        self.life: int | None = 3600
        self.answer: bytes | None = None
        self.fetches: list[Received] = []
        self.gate = trio.Event()
        self.gate.set()

    async def script(self, peer: Peer) -> None:
        while received := await peer.request():
            self.fetches.append(received)
            token = f"c4n4ry-{len(self.fetches)}"
            await self.gate.wait()
            await peer.send(self.answer or response(token_response(token, self.life)))


def token_response(token: str, life: int | None) -> bytes:
    fields: dict[str, Any] = {"access_token": token, "token_type": "bearer"}
    return msgspec.json.encode(fields if life is None else {**fields, "expires_in": life})


class Guarded:
    """An API that accepts some tokens, all by default, and echoes the one it received."""

    def __init__(self) -> None:
        self.accepts: Callable[[str], bool] = lambda token: True
        self.seen: list[str] = []

    async def script(self, peer: Peer) -> None:
        while received := await peer.request():
            kind, _, token = received.headers["authorization"].partition(" ")
            assert kind == "Bearer"
            self.seen.append(token)
            status = "200 OK" if self.accepts(token) else "401 Unauthorized"
            await peer.send(response(token.encode(), status=status))


def oauth2(token_url: str, **changes: str) -> dict[str, Any]:
    """Return the setting `auth`."""
    client = {"token_url": token_url, "client_id": "me", "client_secret": SECRET}
    return {"oauth2": {**client, **changes}}


def opened(*apis: Api) -> AbstractAsyncContextManager[Sequence[Transport]]:
    """Open the transports of these APIs."""
    return open_transports(plan_run(apis, RunSettings(), {}).apis)


async def post(
    transport: Transport, api: Api, attempt: Attempt | None = None, body: bytes = b"{}"
) -> Response:
    """Make one attempt through the transport of an API."""
    head = msgspec.structs.replace(request_head(api.url), method="POST")
    return await transport.send(Request(head, body), attempt or Attempt())

"""A layer that adds credentials by HTTP Digest.

Each origin is asked for a nonce by the first request there, which is sent without credentials.
Other requests wait until that one is answered, however it is, rather than being refused as well.
`core.http.signing.digest` has the rest of the theory.

A request that is refused with 401 was not processed, so it is sent again, body and all, whatever
its method.
"""

from __future__ import annotations

import secrets

import trio
from msgspec.structs import replace

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.auth import Digest
from tmux_fanout.core.http.messages import Origin, Request, RequestHead, Response
from tmux_fanout.core.http.signing.challenges import (
    Unanswerable,
    find_challenge,
    find_next_nonce,
)
from tmux_fanout.core.http.signing.digest import Protection, Session
from tmux_fanout.transports.base import Progress, Transport

_MAX_REPEATS = 2  # of a request: for its first nonce, and for one that is used up right away
_MAX_ORIGINS = 1024  # of an API whose hosts come from records
_UNPROTECTED = "the server wants the body protected (auth-int), and files are read as they are sent"


class DigestTransport:
    """Sends each request with credentials by HTTP Digest.

    Args:
        transport: sends the requests.
        credentials: of the user.
    """

    def __init__(self, transport: Transport, credentials: Digest) -> None:
        self._transport = transport
        self._credentials = credentials
        self._origins: dict[Origin, _Asked] = {}

    def __repr__(self) -> str:
        return f"<DigestTransport: {len(self._origins)} origins, {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        sent_before = progress.sent
        asked = self._asked(request.head.origin)
        protection = asked.protection
        if asked.answered is not None:
            await asked.answered.wait()
        used = protection.session
        if used is None and not protection.is_open and asked.answered is None:
            response = await self._ask(asked, request, progress)
        else:
            response = await self._send(request, used, progress)
        size = response.wire_size
        for _ in range(_MAX_REPEATS):
            if response.status != 401:
                break
            values = [value for name, value in response.headers if name == b"www-authenticate"]
            challenge = find_challenge(values)
            if isinstance(challenge, Unanswerable):
                return replace(response, wire_size=size, note=challenge.why)
            used = protection.renew(used, challenge, secrets.token_hex(16))
            if used is None:
                break
            progress.sent = sent_before  # the server refused the request, and did not process it
            response = await self._send(request, used, progress)
            size += response.wire_size
        if response.status != 401:
            next_nonce = find_next_nonce(response.header(b"authentication-info"))
            protection.note_answer(used, response.status, next_nonce)
        return replace(response, wire_size=size)

    def _asked(self, origin: Origin) -> _Asked:
        if origin not in self._origins:
            if len(self._origins) >= _MAX_ORIGINS:
                del self._origins[next(iter(self._origins))]
            self._origins[origin] = _Asked(Protection(self._credentials))
        return self._origins[origin]

    async def _ask(self, asked: _Asked, request: Request, progress: Progress) -> Response:
        asked.answered = trio.Event()
        try:
            return await self._send(request, None, progress)
        finally:
            asked.answered.set()
            asked.answered = None

    async def _send(self, request: Request, used: Session | None, progress: Progress) -> Response:
        head = request.head
        if used is not None:
            if request.stream and used.challenge.qop == "auth-int":
                raise TransportError("template", _UNPROTECTED, sent=False)
            authorization = used.authorize(head.method, head.target, request.content)
            headers = (*head.headers, ("Authorization", authorization))
            head = RequestHead(head.method, head.origin, head.target, headers)
        return await self._transport.send(Request(head, request.body), progress)

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Asked:
    """An origin.

    Attributes:
        protection: what is known of it.
        answered: set when the request is answered that asks for the first nonce; None: none is
            under way.
    """

    def __init__(self, protection: Protection) -> None:
        self.protection = protection
        self.answered: trio.Event | None = None

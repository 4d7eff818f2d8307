"""OAuth 2.0: a token that all calls share, and the layer that adds it to their requests.

The call that first finds the token missing or due for replacement fetches it, within its own time;
the others wait for a lock.  So no task is needed besides the calls, and if the fetching call is
cancelled, the next one at the lock takes over.  While a token is merely due, the other calls do not
wait but keep using it, and if it cannot be replaced, so do all.

A failed fetch fails all calls that waited for it: an endpoint that is down is not asked once for
each of them.  Whether they try again is the engine's decision.  A refusal, such as that of a wrong
secret, is remembered for a while: a million records are no reason to ask a million times.  So is a
failure with a Retry-After, for as long as that says.

An API may refuse a token that should be valid, because it was revoked or clocks differ.  The token
is then replaced once.  If the API refuses the new one as well, the token is not the cause, and
later refusals cause no fetch until the token has been accepted somewhere or is due.
"""

from __future__ import annotations

import math
import time
from functools import partial

import msgspec
import trio

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.core.http.oauth2 import (
    MAX_PAUSE,
    REFUSED_FOR,
    TIMEOUT,
    Token,
    read_token,
    secrets_in,
    token_request,
)
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.http.rate_headers import retry_after
from tmux_fanout.core.units import show_duration
from tmux_fanout.transports.base import Progress, Transport


class Tokens:
    """The current token of one client, shared by every API that names this client.

    Args:
        client: whose token it is.
        transport: reaches the token endpoint.
    """

    def __init__(self, client: OAuth2, transport: Transport) -> None:
        self._request = token_request(client)
        self._secrets = secrets_in(client)
        self._transport = transport
        self._lock = trio.Lock()
        self._token: Token | None = None
        self._error: TransportError | None = None
        self._refused_until = -math.inf
        self._fetches = 0  # completed

    def __repr__(self) -> str:
        return f"<Tokens: {self._token}, {self._fetches} fetched>"

    async def get(self) -> Token:
        """Return the token to use now.

        Raises:
            TransportError: there is none; nothing was sent to the API.
        """
        token, now = self._token, trio.current_time()
        if token and (now < token.due or (now < token.expires and self._lock.locked())):
            return token
        fetches_before = self._fetches
        async with self._lock:
            now = trio.current_time()
            if self._token and now < self._token.due:
                return self._token
            if self._error and (self._fetches > fetches_before or now < self._refused_until):
                raise self._known(self._error, now)
            return await self._replace()

    def drop(self, token: Token) -> None:
        """Stop using this token, if it is still the current one."""
        if self._token and self._token.authorization == token.authorization:
            self._token = None

    async def _replace(self) -> Token:
        try:
            token = await self._fetch()
        except TransportError as error:
            self._fetches += 1
            now = trio.current_time()
            if self._token and now < self._token.expires:
                self._token = self._token.postponed(now)
                return self._token
            self._error = error
            pause = error.retry_after if error.transient else REFUSED_FOR
            self._refused_until = now + min(pause or 0.0, MAX_PAUSE)
            raise
        self._fetches += 1
        self._token, self._error = token, None
        return token

    def _known(self, error: TransportError, now: float) -> TransportError:
        """Return the same error for another call."""
        pause = error.retry_after and max(0.0, self._refused_until - now)
        return TransportError(
            error.kind,
            error.message,
            sent=False,
            transient=error.transient,
            retry_after=pause,
            shortage=error.shortage,
        )

    async def _fetch(self) -> Token:
        began = trio.current_time()
        with trio.move_on_after(TIMEOUT):
            try:
                response = await self._transport.send(self._request, _Fetch())
            except TransportError as exc:
                message = f"token endpoint: {exc.message}"
                raise TransportError(
                    exc.kind, message, sent=False, transient=exc.transient, shortage=exc.shortage
                ) from exc
            try:
                return read_token(response, began, self._secrets)
            except TransportError as error:
                error.retry_after = retry_after(response, time.time())
                raise
        message = f"token endpoint: no whole response within {show_duration(TIMEOUT)}"
        raise TransportError("timeout", message, sent=False, transient=True)


class _Fetch:
    """The progress of a request for a token, which is not that of the call that waits for it."""

    sent = False
    fresh = True
    connected_at = 0.0
    first_byte_at = 0.0


class OAuth2Transport:
    """Sends each request with the current token.

    Args:
        transport: sends the requests.
        tokens: shared with the other APIs of the same client.
    """

    def __init__(self, transport: Transport, tokens: Tokens) -> None:
        self._transport = transport
        self._tokens = tokens
        self._useless = ""  # an authorization that was refused although it was new
        self._authorization = ""
        # Heads with `_authorization`; shared ones are made once, as transports prepare them once.
        self._authorized = Prepared[RequestHead](lambda head: head)

    def __repr__(self) -> str:
        return f"<OAuth2Transport: {self._tokens!r}, {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        sent_before = progress.sent
        token = await self._tokens.get()
        response = await self._send(request, token, progress)
        if response.status != 401:
            if token.authorization == self._useless:
                self._useless = ""
            return response
        if token.authorization == self._useless:
            return response
        self._tokens.drop(token)
        progress.sent = sent_before  # the API refused the request, and did not process it
        new = await self._tokens.get()
        if new.authorization == token.authorization:
            self._useless = new.authorization
            return response
        again = await self._send(request, new, progress)
        if again.status == 401:
            self._useless = new.authorization
        return msgspec.structs.replace(again, wire_size=response.wire_size + again.wire_size)

    async def _send(self, request: Request, token: Token, progress: Progress) -> Response:
        if token.authorization != self._authorization:
            self._authorization = token.authorization
            self._authorized = Prepared(partial(_authorized, authorization=token.authorization))
        head = self._authorized[request.head]
        return await self._transport.send(Request(head, request.body), progress)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _authorized(head: RequestHead, authorization: str) -> RequestHead:
    headers = (*head.headers, ("Authorization", authorization))
    return msgspec.structs.replace(head, headers=headers)

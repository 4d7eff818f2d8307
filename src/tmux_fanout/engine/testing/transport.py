"""A transport to the simulated APIs of a test.

Requests that are sent at the same time take their replies, and answers that arrive at the same time
are handed over, in the order of the APIs and of the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.testing.statement import ConfigTest, Reply
from tmux_fanout.core.testing.verdict import Sent
from tmux_fanout.engine.calls.call import Attempt, Call
from tmux_fanout.engine.testing.turns import Key, Turns
from tmux_fanout.transports.base import Progress, Transport
from tmux_fanout.transports.decoding import decoded

_TOKEN = b'{"access_token":"token","token_type":"Bearer","expires_in":3600}'
ANY_TOKEN = Reply(body=_TOKEN, headers=((b"content-type", b"application/json"),))
_MESSAGES = {
    "connect": "connection refused (simulated)",
    "tls": "TLS failed (simulated)",
    "protocol": "connection lost (simulated)",
}


class StatedApis:
    """All APIs of a test.

    Args:
        plans: of the APIs.
        test: has their replies.
        end: called when a request has no reply.

    Attributes:
        sent: the requests so far.
        turns: orders requests and answers; `turns.hand_out` has to run beside them.
    """

    def __init__(
        self, plans: Sequence[ApiPlan], test: ConfigTest, end: Callable[[], object]
    ) -> None:
        self.sent: list[Sent] = []
        self.turns = Turns()
        self._plans = plans
        self._end = end
        self._replies = {name: list(replies) for name, replies in test.replies.items()}
        self._tokens = {name: list(replies) for name, replies in test.tokens.items()}

    def __repr__(self) -> str:
        return f"<StatedApis: {len(self.sent)} requests>"

    def connect(self, plan: ApiPlan, client: OAuth2 | None) -> Transport:
        """Return a transport to an API, or to the token endpoint of a client."""
        index = [each.name for each in self._plans].index(plan.name)
        if client is None:
            reply = partial(self._reply, plan.name)
            return _StatedTransport(plan, reply, self.turns, index)
        names = [each.name for each in self._plans if client in each.auths]
        name = next((name for name in names if name in self._tokens), names[0])
        return _StatedTransport(plan, partial(self._token, name), self.turns, index)

    def left(self) -> dict[str, int]:
        """Return how many replies are left, by API; those for tokens by `NAME token`."""
        tokens = {f"{name} token": replies for name, replies in self._tokens.items()}
        everything = {**self._replies, **tokens}
        return {name: len(replies) for name, replies in everything.items() if replies}

    def _reply(self, name: str, request: Request, members: Sequence[Call]) -> Reply | None:
        replies = self._replies.get(name)
        reply = replies.pop(0) if replies else None
        records = [member.pending.record.index for member in members]
        keys = [member.key for member in members]
        return self._sent(Sent(name, request, reply, records=records, keys=keys))

    def _token(self, name: str, request: Request, members: Sequence[Call]) -> Reply | None:
        del members  # a token is for any call
        replies = self._tokens.get(name)
        if replies is None:
            return ANY_TOKEN
        return self._sent(Sent(name, request, replies.pop(0) if replies else None, is_token=True))

    def _sent(self, sent: Sent) -> Reply | None:
        self.sent.append(sent)
        if sent.reply is None:
            self._end()
        return sent.reply


class _StatedTransport:
    """Sends the requests of one API."""

    def __init__(
        self,
        plan: ApiPlan,
        reply: Callable[[Request, Sequence[Call]], Reply | None],
        turns: Turns,
        index: int,
    ) -> None:
        self._max_response = plan.max_response
        self._reply = reply
        self._turns = turns
        self._index = index

    def __repr__(self) -> str:
        return "<StatedTransport>"

    async def send(self, request: Request, progress: Progress) -> Response:
        members = members_of(progress)
        key = (self._index, members[0].pending.record.index if members else -1)
        try:
            return await self._answer(key, request, progress)
        except trio.Cancelled:
            await self._turns.leave(key)
            raise

    async def _answer(self, key: Key, request: Request, progress: Progress) -> Response:
        await self._turns.wait(key)
        reply = self._reply(request, members_of(progress))
        if reply is None:
            await trio.sleep_forever()  # until the test is ended
        progress.sent = reply.error not in ("connect", "tls")
        await trio.sleep(reply.delay)
        await self._turns.wait(key)
        if reply.error == "timeout":
            await trio.sleep_forever()  # the engine ends its patience
        return answer(reply, self._max_response)

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def members_of(progress: Progress) -> Sequence[Call]:
    """Return the calls that an attempt is made for; none if it is for a token."""
    if not isinstance(progress, Attempt):
        return ()
    return progress.call.members or (progress.call,)


def answer(reply: Reply, max_response: int) -> Response:
    """Return the response of a reply, or raise its failure.

    Args:
        reply: the reply.
        max_response: maximum bytes of a body.
    """
    if reply.error is not None:
        is_sent = reply.error == "protocol"
        is_passing = reply.error != "tls"
        message = _MESSAGES[reply.error]
        raise TransportError(reply.error, message, sent=is_sent, transient=is_passing)
    if len(reply.body) > max_response:
        message = f"the response body is larger than {max_response} bytes"
        raise TransportError("too_large", message, sent=True)
    response = Response(reply.status, reply.headers, reply.body, len(reply.body))
    return decoded(response, max_response)

"""OAuth 2.0 on loopback: one shared token, renewed in time, and once when refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import trio
from support.cancelling import cancelled_after
from support.client import (
    Attempt,
    descriptors_settle_at,
    open_descriptors,
    request_head,
)
from support.server import response
from support.tokens import SECRET, Guarded, TokenEndpoint, opened, post
from trio.testing import MockClock, wait_all_tasks_blocked

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import parse_auth
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.transports.base import Progress
from tmux_fanout.transports.layers.oauth2 import OAuth2Transport, Tokens

MAX_STEPS = 200


async def test_one_token_for_many_calls_and_several_apis(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """All calls wait for one fetch; other settings have another token."""
    same = msgspec.structs.replace(api, name="b")
    other = Api("c", api.url, auth={"oauth2": {**_fields(api), "scope": "wide"}})
    endpoint.gate = trio.Event()
    async with opened(api, same, other) as transports:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(post, transports[number % 2], api)
            await wait_all_tasks_blocked()
            assert len(endpoint.fetches) == 1
            endpoint.gate.set()
        assert guarded.seen == ["c4n4ry-1"] * 100
        await post(transports[2], api)
    assert guarded.seen[-1] == "c4n4ry-2"
    assert [fetch.body for fetch in endpoint.fetches] == [
        b"grant_type=client_credentials",
        b"grant_type=client_credentials&scope=wide",
    ]


def _fields(api: Api) -> dict[str, str]:
    return msgspec.structs.asdict(parse_auth(api.auth))


async def test_token_is_replaced_before_it_expires(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded, mock_clock: MockClock
) -> None:
    """One call replaces it a minute before; the others use the old one meanwhile."""
    async with opened(api) as [transport]:
        await post(transport, api)
        mock_clock.jump(3539)
        await post(transport, api)
        mock_clock.jump(2)
        endpoint.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post, transport, api)
            await wait_all_tasks_blocked(0.01)
            await post(transport, api)
            endpoint.gate.set()
        await post(transport, api)
    assert guarded.seen == ["c4n4ry-1", "c4n4ry-1", "c4n4ry-1", "c4n4ry-2", "c4n4ry-2"]
    assert len(endpoint.fetches) == 2


async def test_send_replaces_a_token_that_the_api_refuses_once(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """However many calls are refused: one fetch, and each request is repeated once."""
    async with opened(api) as [transport]:
        await post(transport, api)
        guarded.accepts = lambda token: token != "c4n4ry-1"
        answers: list[Response] = []

        async def call() -> None:
            answers.append(await post(transport, api))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(call)
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"c4n4ry-2")}
    assert sorted(guarded.seen) == ["c4n4ry-1"] * 21 + ["c4n4ry-2"] * 20
    assert len(endpoint.fetches) == 2
    both = len(response(b"c4n4ry-1", status="401 Unauthorized")) + len(response(b"c4n4ry-2"))
    assert answers[0].wire_size == both


async def test_send_leaves_it_at_a_second_refusal(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded, mock_clock: MockClock
) -> None:
    """Later calls fetch none until one is accepted or due: the token is not the cause."""
    guarded.accepts = lambda token: False
    async with opened(api) as [transport]:
        assert (await post(transport, api)).status == 401
        assert guarded.seen == ["c4n4ry-1", "c4n4ry-2"]
        assert (await post(transport, api)).status == 401
        assert (guarded.seen[2:], len(endpoint.fetches)) == (["c4n4ry-2"], 2)
        mock_clock.jump(3600)
        assert (await post(transport, api)).status == 401
        assert guarded.seen[3:] == ["c4n4ry-3", "c4n4ry-4"]
        guarded.accepts = lambda token: True
        assert (await post(transport, api)).status == 200
        guarded.accepts = lambda token: token == "c4n4ry-5"
        assert (await post(transport, api)).status == 200


async def test_send_asks_once_where_the_endpoint_gives_the_same_token_again(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """Some return one until it expires; sending it again would be pointless."""
    endpoint.answer = response(b'{"access_token":"c4n4ry","token_type":"Bearer"}')
    guarded.accepts = lambda token: False
    async with opened(api) as [transport]:
        for _ in range(3):
            assert (await post(transport, api)).status == 401
    assert (len(guarded.seen), len(endpoint.fetches)) == (3, 2)


async def test_a_fetch_that_is_cancelled_is_taken_over(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """The next waiting call takes over; the first has sent nothing to the API."""
    endpoint.gate = trio.Event()
    attempts = [Attempt() for _ in range(3)]
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await post(transport, api, attempts[0])

    async with opened(api) as [transport]:
        before = open_descriptors()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancelled)
            await wait_all_tasks_blocked(0.01)
            for attempt in attempts[1:]:
                nursery.start_soon(post, transport, api, attempt)
            await wait_all_tasks_blocked(0.01)
            assert (len(endpoint.fetches), scope.cancel_called) == (1, False)
            scope.cancel()
            while len(endpoint.fetches) < 2:
                await wait_all_tasks_blocked(0.001)
            assert [attempt.sent for attempt in attempts] == [False] * 3
            endpoint.gate.set()
    assert scope.cancelled_caught
    assert guarded.seen == ["c4n4ry-2"] * 2
    assert [attempt.sent for attempt in attempts] == [False, True, True]
    assert await descriptors_settle_at(before)


async def test_send_cancelled_at_every_checkpoint_in_turn(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """While a token is fetched, sent or replaced: no socket is left, the next call works."""
    before = open_descriptors()
    for steps in range(MAX_STEPS):
        guarded.accepts = lambda token: int(token.rpartition("-")[2]) % 2 == 0
        async with opened(api) as [transport]:
            attempt = Attempt()
            cancelled = await cancelled_after(steps, partial(post, transport, api, attempt))
            assert attempt.sent or cancelled
            assert (await post(transport, api)).status in (200, 401)
            guarded.accepts = lambda token: True
            assert (await post(transport, api)).status == 200
        assert await descriptors_settle_at(before)
        if not cancelled:
            break
    assert not cancelled
    assert steps > 3


async def test_send_tells_a_refused_request_from_one_that_was_sent(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded
) -> None:
    """After a 401, while the next token is fetched, nothing is under way at the API."""
    attempt = Attempt()
    async with opened(api) as [transport]:
        await post(transport, api)
        guarded.accepts = lambda token: False
        endpoint.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post, transport, api, attempt)
            while len(endpoint.fetches) < 2:
                await wait_all_tasks_blocked(0.001)
            assert guarded.seen == ["c4n4ry-1"] * 2
            assert not attempt.sent
            nursery.cancel_scope.cancel()


class Recorder:
    """A transport that keeps the heads of its requests."""

    def __init__(self) -> None:
        self.heads: list[RequestHead] = []

    async def send(self, request: Request, progress: Progress) -> Response:
        self.heads.append(request.head)
        return Response(200, (), b'{"access_token":"x","token_type":"bearer","expires_in":60}', 0)

    async def aclose(self) -> None:
        """There is nothing to close."""


async def test_send_makes_one_head_for_a_head_and_a_token(mock_clock: MockClock) -> None:
    """Transports cache by identity what they derive from a head."""
    recorder = Recorder()
    client = OAuth2(token_url="https://id.test/", client_id="me", client_secret=SECRET)
    tokens = Tokens(client, Recorder())
    transport = OAuth2Transport(recorder, tokens)
    heads: Sequence[RequestHead] = [
        msgspec.structs.replace(request_head(f"http://a.test/{path}"), is_shared=True)
        for path in "ab"
    ]
    for head in (heads[0], heads[1], heads[0], heads[1]):
        await transport.send(Request(head, None), Attempt())
    assert recorder.heads[0] is recorder.heads[2]
    assert recorder.heads[1] is recorder.heads[3]
    assert len(set(recorder.heads)) == 2
    assert "Bearer x" not in repr(transport) + repr(tokens)

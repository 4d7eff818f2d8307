"""Calls fail if the token endpoint does: the error says so, and nothing was sent."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from support.certificates import Certificates
from support.client import KEYS, Attempt, TransportKind, classify
from support.server import Peer, StartServer, response
from support.tokens import SECRET, Guarded, TokenEndpoint, oauth2, opened, post
from trio.testing import MockClock, wait_all_tasks_blocked

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.oauth2 import MAX_PAUSE, REFUSED_FOR, TIMEOUT
from tmux_fanout.transports.base import Transport


async def failure_of(transport: Transport, api: Api) -> TransportError:
    attempt = Attempt()
    with pytest.raises(TransportError) as caught:
        await post(transport, api, attempt)
    assert not caught.value.sent
    assert not attempt.sent
    assert caught.value.message.startswith("token endpoint: ")
    assert caught.value.message.isprintable()
    assert "c4n4ry" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("answer", "words", "kind_of_failure"),
    [
        (
            response(b'{"error":"invalid_client"}', status="400 Bad Request"),
            "HTTP 400 invalid_client; check client_id, client_secret and auth_method",
            ("status", "final"),
        ),
        (response(b"", status="503 Later"), "HTTP 503", ("status", "transient")),
        (response(SECRET.encode()), "its response holds no access_token", ("protocol", "final")),
        (
            response(bytes(2 << 20)),
            "the response body is larger than 1048576 bytes",
            ("too_large", "final"),
        ),
        (b"SSH-2.0-x\r\n", "not a valid HTTP/1.1 response", ("protocol", "final")),
        (b"HTTP/1.1 200 OK\r\n", "the server closed the connection", ("protocol", "transient")),
    ],
    ids=["invalid_client", "503", "no-token", "huge", "not-http", "cut"],
)
async def test_send_fails_as_the_token_endpoint_does(
    start: StartServer,
    kind: TransportKind,
    answer: bytes,
    words: str,
    kind_of_failure: tuple[str, str],
) -> None:
    """Nothing is sent to the API, and the message names the token endpoint."""
    guarded = Guarded()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    tokens, server = await start(script), await start(guarded.script)
    api = Api("a", server.url, auth=oauth2(tokens.url), **KEYS[kind])
    async with opened(api) as [transport]:
        error = await failure_of(transport, api)
    assert classify(error) == kind_of_failure
    assert error.message.startswith(f"token endpoint: {words}")
    assert guarded.seen == []


async def test_send_fails_where_nobody_listens(start: StartServer) -> None:
    """The error permits a retry."""
    server = await start(Guarded().script)
    api = Api("a", server.url, auth=oauth2("http://127.0.0.1:1/token"))
    async with opened(api) as [transport]:
        error = await failure_of(transport, api)
    assert classify(error) == ("connect", "transient")
    assert error.message == ("token endpoint: cannot connect to 127.0.0.1:1: connection refused")


async def test_send_fails_where_the_endpoint_says_nothing(
    api: Api, endpoint: TokenEndpoint, mock_clock: MockClock
) -> None:
    """The fetch has a time limit of its own, so that the error can name the endpoint."""
    endpoint.gate = trio.Event()
    failures: list[TransportError] = []
    async with opened(api) as [transport], trio.open_nursery() as nursery:

        async def fail() -> None:
            failures.append(await failure_of(transport, api))

        nursery.start_soon(fail)
        while not endpoint.fetches:
            await wait_all_tasks_blocked(0.001)
        mock_clock.jump(TIMEOUT)
    assert classify(failures[0]) == ("timeout", "transient")
    assert failures[0].message == "token endpoint: no whole response within 10s"


@pytest.mark.parametrize(("status", "again"), [("503 Later", 1), ("401 Unauthorized", 0)])
async def test_a_failed_fetch_fails_all_that_waited_for_it(
    api: Api, endpoint: TokenEndpoint, mock_clock: MockClock, status: str, again: int
) -> None:
    """A failing endpoint is not asked by each call; a refusal is remembered for a while."""
    endpoint.answer = response(b"", status=status)
    endpoint.gate = trio.Event()
    async with opened(api) as [transport]:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(failure_of, transport, api)
            await wait_all_tasks_blocked(0.01)
            endpoint.gate.set()
        assert len(endpoint.fetches) == 1
        await failure_of(transport, api)
        assert len(endpoint.fetches) == 1 + again
        mock_clock.jump(REFUSED_FOR)
        endpoint.answer = None
        assert (await post(transport, api)).status == 200
        assert len(endpoint.fetches) == 2 + again


async def test_token_serves_to_its_end_where_it_cannot_be_replaced(
    api: Api, endpoint: TokenEndpoint, guarded: Guarded, mock_clock: MockClock
) -> None:
    """The endpoint is asked again half-way to its end, not with every call."""
    async with opened(api) as [transport]:
        await post(transport, api)
        endpoint.answer = response(b"", status="503 Later")
        for seconds, fetches in [(3541, 2), (20, 2), (10, 3), (20, 4)]:
            mock_clock.jump(seconds)
            await post(transport, api)
            assert len(endpoint.fetches) == fetches
        mock_clock.jump(10)
        error = await failure_of(transport, api)
    assert error.message == "token endpoint: HTTP 503"
    assert set(guarded.seen) == {"c4n4ry-1"}


async def test_token_endpoint_is_verified_by_its_own_context(
    start: StartServer, endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning verification off for an API does not expose the client's secret."""
    certificates = Certificates()
    tokens = await start(endpoint.script, tls=certificates.server())
    server = await start(Guarded().script, tls=certificates.self_signed())
    api = Api("a", server.url, auth=oauth2(tokens.url), tls={"verify": False})
    async with opened(api) as [transport]:
        error = await failure_of(transport, api)
    assert classify(error) == ("tls", "final")
    assert endpoint.fetches == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.write_authority(tmp_path)))
    async with opened(api) as [transport]:
        assert (await post(transport, api)).status == 200


async def test_an_endpoint_that_asks_for_a_pause_gets_it(
    api: Api, endpoint: TokenEndpoint, mock_clock: MockClock
) -> None:
    """Calls fail meanwhile, and report how long it is; but not for a whole day."""
    endpoint.answer = response(b"", "Retry-After: 20", status="429 Slow Down")
    async with opened(api) as [transport]:
        assert (await failure_of(transport, api)).retry_after == 20
        mock_clock.jump(5)
        error = await failure_of(transport, api)
        assert (error.retry_after, error.transient) == (15, True)
        assert len(endpoint.fetches) == 1
        mock_clock.jump(15)
        endpoint.answer = response(b"", "Retry-After: 86400", status="429 Slow Down")
        assert (await failure_of(transport, api)).retry_after == 86400
        assert len(endpoint.fetches) == 2
        mock_clock.jump(MAX_PAUSE)
        endpoint.answer = response(b"", "Retry-After: soon", status="429 Slow Down")
        assert (await failure_of(transport, api)).retry_after is None
        endpoint.answer = None
        assert (await post(transport, api)).status == 200

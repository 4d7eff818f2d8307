"""Errors in a client of the program's own, or behind it, and their reports."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import pytest
import trio
from support.certificates import Certificates
from support.client import Attempt, classify, request_head
from support.http2 import Stream, http2, http2_contexts
from support.server import Received, Server, StartServer, answering, response

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.transports.foreign.client import ClientTransport

NOT_FOUND = response(b"no", status="404 Not Found")


async def send(url: str, client: Any, method: str = "GET", **keys: Any) -> Response:
    plan = plan_run([Api("a", url, client=client, **keys)], RunSettings(), {}).apis[0]
    usual = request_head(url)
    head = RequestHead(method, usual.origin, usual.target, usual.headers)
    with trio.fail_after(60):
        return await ClientTransport(plan).send(Request(head, None), Attempt())


async def failure_of(url: str, client: Any, **keys: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await send(url, client, **keys)
    assert "secret" not in caught.value.message
    return caught.value


async def test_send_takes_no_answer_to_another_request(
    start: StartServer, client_of: Any, package: Any
) -> None:
    """A token endpoint that refuses is not the API, and its response says nothing about it."""
    tokens = await start(answering(NOT_FOUND))
    server = await start(answering(response(b"ok")))

    class Token(package.Auth):  # type: ignore[misc]  # the package is known at run time only
        def auth_flow(self, request: Any) -> Any:
            answer = yield package.Request("POST", tokens.url)
            answer.raise_for_status()
            yield request

    error = await failure_of(server.url, client_of(auth=Token()))
    assert classify(error) == ("protocol", "final")
    assert error.message == "the client raised HTTPStatusError"
    assert error.sent
    assert not server.requests


async def test_send_keeps_the_body_that_a_hook_has_read(start: StartServer, client_of: Any) -> None:
    """It is part of the response, although the hook raised for the status."""

    async def read_and_raise(answer: Any) -> None:
        await answer.aread()
        answer.raise_for_status()

    server = await start(answering(NOT_FOUND))
    answer = await send(server.url, client_of(event_hooks={"response": [read_and_raise]}))
    assert (answer.status, answer.body) == (404, b"no")


async def test_send_takes_no_answer_for_ok_without_its_body(
    start: StartServer, client_of: Any
) -> None:
    """A hook raises for a status that is ok here, and has not read the body."""

    async def for_status(answer: Any) -> None:
        answer.raise_for_status()

    server = await start(answering(NOT_FOUND))
    client = client_of(event_hooks={"response": [for_status]})
    assert (await send(server.url, client)).status == 404
    error = await failure_of(server.url, client, ok_status=["2xx", 404])
    assert classify(error) == ("protocol", "final")
    assert error.message == "the client raised HTTPStatusError"


async def start_http2(
    start: StartServer, *headers: tuple[str, str]
) -> tuple[Server, ssl.SSLContext]:
    """Start a server that sends headers and no body; return it with TLS for its clients."""

    async def handler(stream: Stream) -> None:
        await stream.head(*headers, end=True)

    of_server, of_client = http2_contexts(Certificates())
    return await start(http2(handler), tls=of_server), of_client


async def test_send_takes_no_body_of_another_length(start: StartServer, client_of: Any) -> None:
    """With HTTP/2 the client does not check it; a response to HEAD has no body."""
    server, tls = await start_http2(start, ("content-length", "10"))
    client = client_of(http2=True, verify=tls)
    assert classify(await failure_of(server.url, client)) == ("protocol", "final")
    assert (await send(server.url, client, "HEAD")).status == 200


async def test_send_blames_the_response_for_what_is_wrong_with_it(
    start: StartServer, client_of: Any
) -> None:
    """The client reports a local error, and quotes a header."""
    server, tls = await start_http2(start, ("content-length", "secret"))
    error = await failure_of(server.url, client_of(http2=True, verify=tls))
    assert classify(error) == ("protocol", "final")
    assert error.message.startswith("not a valid HTTP response: ")
    assert error.sent


async def test_send_knows_that_the_client_is_closed(client_of: Any) -> None:
    """Nothing is sent, and the message says what to do."""
    client = client_of()
    await client.aclose()
    error = await failure_of("http://127.0.0.1:1/", client)
    assert error.message.startswith("the client is closed; keep it open")
    assert not error.sent


@pytest.mark.parametrize("name", ["ReadError", "RemoteProtocolError", "ConnectError", "ProxyError"])
async def test_send_shows_no_words_of_unknown_origin(
    client_of: Any, package: Any, name: str
) -> None:
    """An exception of a mounted transport is only named."""

    def refuse(request: Any) -> Any:
        raise getattr(package, name)("secret")

    client = client_of(mounts={"http://": package.MockTransport(refuse)})
    assert name in (await failure_of("http://a.test/", client)).message


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("", "/?key=1&both=theirs"),
        ("p?a=%2Fb&both=ours", "/p?a=%2Fb&both=ours&key=1"),
        ("p?key=2&both=ours", "/p?key=2&both=ours"),
    ],
)
async def test_send_adds_the_clients_parameters(
    start: StartServer, client_of: Any, target: str, expected: str
) -> None:
    """The URL keeps its own, and they come first."""
    server = await start(answering(response(b"ok")))
    client = client_of(params={"key": "1", "both": "theirs"})
    await send(server.url + target, client)
    (received,) = server.requests
    assert isinstance(received, Received)
    assert received.target == expected


async def test_send_knows_that_no_file_is_left(
    client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's message does not say so, but its cause does."""

    def no_file(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    client = client_of()
    monkeypatch.setattr(socket.socket, "__init__", no_file)
    error = await failure_of("http://127.0.0.1:9", client)
    assert (classify(error), error.shortage) == (("connect", "transient"), "open files")
    assert not error.sent

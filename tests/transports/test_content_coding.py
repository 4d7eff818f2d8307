"""Content codings: undone if they are known and valid, and bounded."""

from __future__ import annotations

import gzip

import pytest
from support.client import OpenClient, classify
from support.codings import CAP, DECODED, REFUSED, TEXT
from support.server import StartServer, answering, response


@pytest.mark.parametrize("case", DECODED)
async def test_send_undoes_content_codings(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """The body is decoded; the header stays as evidence."""
    codings, body = DECODED[case]
    server = await start(answering(response(body, f"Content-Encoding: {codings}")))
    answer = await client(server.url).send()
    assert answer.body == TEXT
    assert answer.header(b"content-encoding") is not None
    assert answer.wire_size < len(TEXT) + 200


@pytest.mark.parametrize("case", REFUSED)
async def test_send_fails_where_a_coding_cannot_be_undone(
    start: StartServer, client: OpenClient, case: str
) -> None:
    """The error has its own kind; the exchange was valid, and its connection is kept."""
    codings, body, expected = REFUSED[case]
    server = await start(answering(response(body, f"Content-Encoding: {codings}"), response(b"ok")))
    caller = client(server.url, max_response=CAP)
    error = await caller.failure()
    assert classify(error) == (expected, "final")
    assert error.sent
    assert (await caller.send()).body == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")],
)
async def test_send_has_nothing_to_undo_where_there_is_no_body(
    start: StartServer, client: OpenClient, method: str, status: str
) -> None:
    """A response without a body may name a coding; see kittinunf/fuel#694 and
    googleapis/google-http-java-client#169.
    """
    server = await start(answering(f"HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\n\r\n".encode()))
    assert (await client(server.url).send(method)).body == b""


async def test_send_accepts_what_decodes_to_the_cap(start: StartServer, client: OpenClient) -> None:
    """The limit on decoded content is as exact as that on the body."""
    server = await start(answering(response(gzip.compress(bytes(CAP)), "Content-Encoding: gzip")))
    assert (await client(server.url, max_response=CAP).send()).body == bytes(CAP)


@pytest.mark.parametrize("coding", ["br", "gzip"])
async def test_send_keeps_the_status_of_an_error_that_cannot_be_decoded(
    start: StartServer, client: OpenClient, coding: str
) -> None:
    """The status determines retries, and proxies compress their error pages unasked."""
    headers = ("Retry-After: 7", f"Content-Encoding: {coding}")
    busy = response(b"xyz", *headers, status="503 Service Unavailable")
    server = await start(answering(busy, busy))
    caller = client(server.url)
    for _ in range(2):
        answer = await caller.send("POST", b"{}")
        assert (answer.status, answer.body, answer.never_ok) == (503, b"", True)
        assert answer.header(b"retry-after") == b"7"
        assert coding in answer.note

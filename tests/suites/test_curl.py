"""Native and the program curl on the replies in curl's own tests, if these are available.

`TMUX_FANOUT_CURL_TESTS` names the folder `tests/data` of a checkout of curl/curl.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from suites.curl import Reply, replies
from support.client import Client
from support.server import Server, sending, serve

from tmux_fanout.core.errors import TransportError

FOLDER = os.environ.get("TMUX_FANOUT_CURL_TESTS", "")
pytestmark = [
    pytest.mark.skipif(not FOLDER, reason="TMUX_FANOUT_CURL_TESTS is not set"),
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed"),
]
REPLIES = replies(Path(FOLDER)) if FOLDER else {}

# Intentional differences, with reasons; see docs/reference/http-differences.md.
DIFFERENCES = {
    f"test{number}": why
    for why, numbers in {
        "bytes after the end are refused, and not dropped": [3, 499],
        "br and zstd are not asked for, and not known": [314, 316, 396, 397, 1618],
        "chunk lines end with CRLF": [341, 693, 1124, 1125, 1170, 1171, 1417, 1617],
        "a length beside chunks is refused": [365, 1122, 1494],
        "a length that is too large is refused": [393, 395],
        "a head has at most 64 KiB": [747, 1556],
        "lengths that differ are refused": [771],
        "no transfer coding but chunked": [1123, 1277, 1493, 1546],
        "a head that is cut short is none": [1513, 1539, 1555, 1591, 1598, 3034],
        "a carriage return in a value is refused": [2105],
        "curl does not know members of gzip": [2305],
    }.items()
    for number in numbers
}


class Outcome(NamedTuple):
    """A client's result for a reply; without status and body if it refuses the reply."""

    status: int = 0
    body: bytes = b""
    why: str = ""


@pytest.mark.parametrize("name", REPLIES)
def test_native_agrees_with_curl_or_knows_why_not(name: str) -> None:
    """Both return the same status and body, or both refuse the reply."""
    ours, theirs = trio.run(outcomes, REPLIES[name])
    assert (ours[:2] == theirs[:2]) != (name in DIFFERENCES), (ours.why, theirs.why)


async def outcomes(reply: Reply) -> tuple[Outcome, Outcome]:
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(serve, sending(reply.data))
        found = await native(server.url, reply.method), await curl(server.url, reply.method)
        nursery.cancel_scope.cancel()
    return found


async def native(url: str, method: str) -> Outcome:
    client = Client("native", url)
    try:
        answer = await client.send(method)
    except TransportError as error:
        return Outcome(why=error.message)
    finally:
        await client.transport.aclose()
    return Outcome(answer.status, answer.body)


async def curl(url: str, method: str) -> Outcome:
    written = ["-o", "-", "-w", "%{stderr}%{http_code}"]
    command = ["curl", "-q", "-sS", "--http1.1", "--compressed", "--max-time", "20", *written, url]
    if method == "HEAD":
        command = [*command, "--head", "-o", "/dev/null"]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode:
        return Outcome(why=done.stderr.decode())
    return Outcome(int(done.stderr), b"" if method == "HEAD" else done.stdout)

"""Connections that are lost before, during and between responses, once and repeatedly."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio
from support.command import COMMAND, Process, environment, lines, records, start
from support.faults import (
    SECRET_ENVIRONMENT,
    SECRET_HEADERS,
    Against,
    ledger_of,
    secret_url,
)
from support.loopback import Loopback
from support.nginx import NGINX, NO_NGINX, nginx
from support.server import Peer, Script, Server, answering, response, serve
from trio.testing import wait_all_tasks_blocked

OK = response(b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf "
PUT = ("-X", "PUT")
POST = ("-X", "POST")


def losing(data: bytes, times: int = 1) -> Script:
    """Return a script: the first connections get `data` and a reset, the others an echo."""

    async def script(peer: Peer) -> None:
        if peer.number >= times:
            await answering(OK)(peer)
        else:
            await peer.request()
            await peer.send(data)
            await wait_all_tasks_blocked(0.005)  # a reset discards what has not been read yet
            peer.reset()

    return script


LOST = "protocol in 1, ambiguous"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 2", HALF], ids=["before", "in head", "in body"])
@pytest.mark.parametrize(
    ("args", "first", "requests"),
    [
        (("-X", "GET"), "ok in 2", 4),
        (PUT, "ok in 2", 4),
        (POST, LOST, 3),
        ((*POST, "--idempotent"), "ok in 2", 4),
    ],
    ids=["GET", "PUT", "POST", "POST --idempotent"],
)
def test_a_reset_is_repeated_where_that_is_harmless(
    against: Against, data: bytes, args: tuple[str, ...], first: str, requests: int
) -> None:
    """A POST may have been applied and is sent once; other methods are repeated."""
    ledger = against(losing(data), *args, "-l", "1")
    assert ledger.endings() == [first, "ok in 1", "ok in 1"]
    assert len(ledger.server.requests) == requests
    if first == LOST:
        [message] = ledger.messages()
        assert "connection reset by peer; not retried, as the POST may have been applied" in message
        assert "idempotent = true" in message


@pytest.mark.parametrize(("args", "attempts"), [(("-X", "GET"), 3), (POST, 1)], ids=["GET", "POST"])
def test_resets_without_end_are_told(
    against: Against, args: tuple[str, ...], attempts: int
) -> None:
    """The error is reported after the maximum number of attempts."""
    ledger = against(losing(b"", times=99), *args, records=1)
    assert ledger.endings() == ["protocol in 3" if attempts == 3 else LOST]
    assert ledger.server.connections == attempts


def test_a_stale_connection_costs_no_retry(against: Against) -> None:
    """It is closed as the next request arrives: a GET is repeated even with no retries."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if not peer.number:
            await peer.request()
        else:
            await answering(OK)(peer)

    ledger = against(script, "-l", "1", "-r", "0")
    assert ledger.endings() == ["ok in 1", "ok in 2", "ok in 1"]
    posted = against(script, "-l", "1", "-r", "0", *POST)
    assert posted.endings() == ["ok in 1", LOST, "ok in 1"]
    assert len(posted.server.requests) == 3


def test_a_connection_is_looked_at_before_it_is_used_again(
    against: Against, tmp_path: Path
) -> None:
    """It was closed while idle, so a POST is sent on a new connection, once."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.stream.aclose()
        if peer.number == 2:
            feed.close()
        else:
            feed.write(b"%d\n" % (peer.number + 1))

    with fifo.open("r+b", buffering=0) as feed:  # open both ways, opening does not wait
        feed.write(b"0\n")
        ledger = against(script, *POST, "-r", "0", source=fifo)
    assert ledger.endings() == ["ok in 1"] * 3
    assert ledger.server.connections == len(ledger.server.requests) == 3


@pytest.mark.parametrize("args", [("-X", "GET"), POST], ids=["GET", "POST"])
def test_a_misdirected_request_goes_over_another_connection(
    against: Against, args: tuple[str, ...]
) -> None:
    """421: this connection does not lead to the API (RFC 9110, section 15.5.20)."""

    async def script(peer: Peer) -> None:
        wrong = response(b"", status="421 Misdirected Request")
        await answering(OK if peer.number else wrong)(peer)

    ledger = against(script, *args, "-r", "1", records=1)
    assert ledger.endings() == ["ok in 2"]
    assert ledger.server.connections == 2


def test_a_retry_after_silence_takes_a_new_connection(against: Against, tmp_path: Path) -> None:
    """A NAT that forgot one idle connection forgot the others, too (urllib3/urllib3#3184)."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waiting: list[Peer] = []
    everyone_is_here = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number >= 4:
            await peer.send(OK)
            feed.close()
            return
        waiting.append(peer)
        if len(waiting) == 4:
            everyone_is_here.set()
        await everyone_is_here.wait()
        await peer.send(OK)
        if peer is waiting[-1]:
            feed.write(b"4\n")
        await peer.closed()

    with fifo.open("r+b", buffering=0) as feed:  # open both ways, opening does not wait
        feed.write(b"0\n1\n2\n3\n")
        args = ("-r", "1", "--attempt-timeout", "3s")
        ledger = against(script, *args, source=fifo, records=5)
    assert ledger.endings() == ["ok in 1"] * 4 + ["ok in 2"]


BREAKER = """
[defaults]
breaker = { failures = 5, open = "50ms", max_open = "100ms", wait = "60s" }
"""


class Mortal:
    """A script that answers, then kills every connection, and for a while each new one.

    Args:
        answers: number of responses before it dies.
        refusals: number of connections that it accepts and resets before it is back.
    """

    def __init__(self, answers: int, refusals: int) -> None:
        self._answers = answers
        self._refusals = refusals
        self._death = trio.Event()

    async def __call__(self, peer: Peer) -> None:
        if not self._death.is_set():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._answer, peer, nursery.cancel_scope)
                await self._death.wait()
                nursery.cancel_scope.cancel()
            peer.reset()
        elif self._refusals:
            self._refusals -= 1
            await peer.request()
            peer.reset()
        else:
            await answering(OK)(peer)

    async def _answer(self, peer: Peer, scope: trio.CancelScope) -> None:
        while await peer.request():
            if not self._answers:
                self._death.set()
                return
            self._answers -= 1
            await peer.send(OK)
        scope.cancel()


def test_a_server_that_dies_in_the_middle_and_comes_back(against: Against) -> None:
    """Every record is ok, and calls wait before they try again, so few attempts are in vain."""
    limit, refusals = 4, 14
    mortal = Mortal(answers=500, refusals=refusals)
    ledger = against(mortal, "-l", str(limit), records=1000, config=BREAKER)
    assert {ending.split(" in ")[0] for ending in ledger.endings()} == {"ok"}
    assert 1000 < ledger.summary["requests"] <= 1000 + limit + refusals
    assert ledger.summary["seconds"] >= 0.1  # of back-off


def test_a_post_in_flight_as_the_server_dies_is_not_repeated(against: Against) -> None:
    """What was sent may have been applied; what was not sent waits, and is sent once."""
    limit, refusals = 4, 6
    mortal = Mortal(answers=50, refusals=refusals)
    ledger = against(mortal, *POST, "-l", str(limit), records=100, config=BREAKER)
    endings = ledger.endings()
    assert set(endings) == {"ok in 1", LOST}
    assert 1 + refusals <= endings.count(LOST) <= limit + refusals


def test_a_server_that_is_not_up_yet_is_waited_for(against: Against, closed_port: int) -> None:
    """Nothing was sent, so even POSTs are all ok, and the server gets each of them once."""
    served = 0

    async def raise_the_other(peer: Peer) -> None:
        nonlocal served
        async with trio.open_nursery() as nursery:
            while await peer.request():
                served += 1
                if served == 20:
                    late.append(
                        await nursery.start(partial(serve, answering(OK), port=closed_port))
                    )
                await peer.send(OK)
            nursery.cancel_scope.cancel()

    late: list[Server] = []
    args = (*POST, "-l", "4", "-r", "99", "--rate", "50/s", "--window", "20")
    at = {"late": f"http://127.0.0.1:{closed_port}"}
    ledger = against({"a": raise_the_other}, *args, at=at, records=30, config=BREAKER)
    assert ledger.status == 0
    bodies = [request.body for request in late[0].requests]
    assert sorted(map(int, bodies)) == list(range(30))
    assert 30 < ledger.summary["apis"]["late"]["attempts"] < 30 + 5 + 20 * ledger.summary["seconds"]


def test_connections_that_are_kept_for_a_moment_only(against: Against) -> None:
    """Closed 10 ms after each response, or after the third: no idempotent call fails."""

    async def script(peer: Peer) -> None:
        for index in range(3):
            received = None
            with trio.move_on_after(0.010 if index else math.inf):
                received = await peer.request()
            if received is None:
                return
            await peer.send(OK)

    args = ("-l", "4", "--rate", "400/s", "-r", "0")
    ledger = against(script, *args, records=200)
    assert {ending.split(" in ")[0] for ending in ledger.endings()} == {"ok"}
    assert ledger.server.connections >= 200 // 3


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_nginx_reloads_twenty_times_under_load(tmp_path: Path) -> None:
    """Its old workers close idle connections, and no idempotent call fails."""
    server = "keepalive_timeout 10ms; keepalive_requests 20; location / { return 200 $pid; }"
    args = ("-X", "GET", "-l", "8", "--summary", "json", *SECRET_HEADERS)
    at_once, workers, out = 25, set[int](), b""
    with nginx(tmp_path, server, workers=True) as port:
        master = int((tmp_path / "pid").read_text())
        url = secret_url(f"http://127.0.0.1:{port}")
        env = environment(**SECRET_ENVIRONMENT)
        with start("-a", f"a={url}", *args, env=env) as process:
            assert process.stdin
            assert process.stdout
            for reloads in range(21):
                while len(workers) == reloads:
                    process.stdin.write(records(at_once))
                    process.stdin.flush()
                    answered = b"".join(process.stdout.readline() for _ in range(at_once))
                    workers |= {line["results"]["a"]["body"] for line in lines(answered)}
                    out += answered
                os.kill(master, signal.SIGHUP)
            rest, stderr = process.communicate()
    ledger = ledger_of(process.returncode, out + rest, stderr)
    assert ledger.status == 0
    assert {ending.split(" in ")[0] for ending in ledger.endings()} == {"ok"}


def test_too_few_descriptors_make_it_slower_and_lose_nothing(
    server: Loopback, tmp_path: Path
) -> None:
    """With 64 descriptors and a limit of 500, as many calls run as there is room for."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(1000))
    server.gate.clear()
    url = secret_url(server.url(""))
    args = ["-a", f"a={url}", "-l", "500", *SECRET_HEADERS, str(source)]
    args += ["--summary", "json"]
    with Process(
        ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**SECRET_ENVIRONMENT),
    ) as process:
        server.await_requests(16)
        server.gate.set()
        out, stderr = process.communicate()
    ledger = ledger_of(process.returncode, out, stderr)
    assert {ending.split(" in ")[0] for ending in ledger.endings()} == {"ok"}
    assert (ledger.status, len(ledger.lines), len(server.bodies)) == (0, 1000, 1000)
    assert server.peak < 64

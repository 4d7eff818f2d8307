"""Lost connections: before, during and between responses, all at once, and repeatedly."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio
from support.command import COMMAND, PATIENCE, environment, lines, records, start
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
    """Return a script that sends `data` and a reset to its first `times` connections."""

    async def script(peer: Peer) -> None:
        if peer.number >= times:
            await answering(OK)(peer)
        else:
            await peer.request()
            await peer.send(data)
            await wait_all_tasks_blocked(0.005)  # a reset discards data that is still unread
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
def test_a_reset_is_retried_if_safe(
    against: Against, data: bytes, args: tuple[str, ...], first: str, requests: int
) -> None:
    """A reset is retried, except for a POST, which may have been applied; no half body is ok."""
    ledger = against(losing(data), *args, "-l", "1")
    assert ledger.verdicts() == [first, "ok in 1", "ok in 1"]
    assert len(ledger.server.requests) == requests
    if first == LOST:
        [message] = ledger.messages()
        assert "connection reset by peer; not repeated: the POST may have been applied" in message
        assert "idempotent = true" in message


@pytest.mark.parametrize(("args", "attempts"), [(("-X", "GET"), 3), (POST, 1)], ids=["GET", "POST"])
def test_endless_resets_are_reported(
    against: Against, args: tuple[str, ...], attempts: int
) -> None:
    """Endless resets are reported after the last attempt."""
    ledger = against(losing(b"", times=99), *args, records=1)
    assert ledger.verdicts() == ["protocol in 3" if attempts == 3 else LOST]
    assert ledger.server.connections == attempts


def test_a_stale_connection_costs_no_retry(against: Against) -> None:
    """A GET is sent again, even with no retries, if its reused connection closes unanswered."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if not peer.number:
            await peer.request()
        else:
            await answering(OK)(peer)

    ledger = against(script, "-l", "1", "-r", "0")
    assert ledger.verdicts() == ["ok in 1", "ok in 2", "ok in 1"]
    posted = against(script, "-l", "1", "-r", "0", *POST)
    assert posted.verdicts() == ["ok in 1", LOST, "ok in 1"]
    assert len(posted.server.requests) == 3


def test_an_idle_connection_is_checked_before_it_is_reused(
    against: Against, tmp_path: Path
) -> None:
    """A connection closed while idle gets no request: a POST is sent once, on a new one."""
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

    with fifo.open("r+b", buffering=0) as feed:  # opening for reading and writing does not block
        feed.write(b"0\n")
        ledger = against(script, *POST, "-r", "0", source=fifo)
    assert ledger.verdicts() == ["ok in 1"] * 3
    assert ledger.server.connections == len(ledger.server.requests) == 3


@pytest.mark.parametrize("args", [("-X", "GET"), POST], ids=["GET", "POST"])
def test_a_misdirected_request_goes_over_another_connection(
    against: Against, args: tuple[str, ...]
) -> None:
    """A 421 is retried on another connection (RFC 9110, section 15.5.20)."""

    async def script(peer: Peer) -> None:
        wrong = response(b"", status="421 Misdirected Request")
        await answering(OK if peer.number else wrong)(peer)

    ledger = against(script, *args, "-r", "1", records=1)
    assert ledger.verdicts() == ["ok in 2"]
    assert ledger.server.connections == 2


def test_a_retry_after_silence_takes_a_new_connection(against: Against, tmp_path: Path) -> None:
    """After a timeout no idle connection is reused: a NAT drops all (urllib3/urllib3#3184)."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waiting: list[Peer] = []
    all_arrived = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number >= 4:
            await peer.send(OK)
            feed.close()
            return
        waiting.append(peer)
        if len(waiting) == 4:
            all_arrived.set()
        await all_arrived.wait()
        await peer.send(OK)
        if peer is waiting[-1]:
            feed.write(b"4\n")
        await peer.closed()

    with fifo.open("r+b", buffering=0) as feed:  # opening for reading and writing does not block
        feed.write(b"0\n1\n2\n3\n")
        args = ("-r", "1", "--attempt-timeout", "300ms")
        ledger = against(script, *args, source=fifo, records=5)
    assert ledger.verdicts() == ["ok in 1"] * 4 + ["ok in 2"]


BREAKER = """
[defaults]
breaker = { failures = 5, open = "50ms", max_open = "100ms", wait = "60s" }
"""


class Mortal:
    """A script that answers, then resets every connection, and new ones too for a while.

    Args:
        answers: number of responses before the resets.
        refusals: number of new connections that are reset before it answers again.
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


def test_an_outage_in_the_middle_loses_nothing(against: Against) -> None:
    """Across an outage the breaker waits, every record is ok, and few attempts are wasted."""
    limit, refusals = 4, 14
    mortal = Mortal(answers=500, refusals=refusals)
    ledger = against(mortal, "-l", str(limit), records=1000, config=BREAKER)
    assert {verdict.split(" in ")[0] for verdict in ledger.verdicts()} == {"ok"}
    assert 1000 < ledger.summary["requests"] <= 1000 + limit + refusals
    assert ledger.summary["seconds"] >= 0.05 + 0.1 + 0.1  # the breaker's pauses


def test_a_post_in_flight_at_an_outage_is_not_repeated(against: Against) -> None:
    """A POST in flight at a reset is not repeated; those not yet sent wait, and are sent once."""
    limit, refusals = 4, 6
    mortal = Mortal(answers=50, refusals=refusals)
    ledger = against(mortal, *POST, "-l", str(limit), records=100, config=BREAKER)
    verdicts = ledger.verdicts()
    assert set(verdicts) == {"ok in 1", LOST}
    assert 1 + refusals <= verdicts.count(LOST) <= limit + refusals


def test_a_server_that_is_not_up_yet_is_waited_for(against: Against, closed_port: int) -> None:
    """POSTs wait for a server that is not up yet, and it receives each of them once."""
    served = 0

    async def start_the_other(peer: Peer) -> None:
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
    ledger = against({"a": start_the_other}, *args, at=at, records=30, config=BREAKER)
    assert ledger.status == 0
    bodies = [request.body for request in late[0].requests]
    assert sorted(map(int, bodies)) == list(range(30))
    assert 30 < ledger.summary["apis"]["late"]["attempts"] < 30 + 5 + 20 * ledger.summary["seconds"]


def test_connections_that_close_soon_fail_no_call(against: Against) -> None:
    """Idempotent calls succeed if connections close after 10 ms idle or three responses."""

    async def script(peer: Peer) -> None:
        for _ in range(3):
            received = None
            with trio.move_on_after(0.010):
                received = await peer.request()
            if received is None:
                return
            await peer.send(OK)

    args = ("-l", "4", "--rate", "400/s", "-r", "0")
    ledger = against(script, *args, records=200)
    assert {verdict.split(" in ")[0] for verdict in ledger.verdicts()} == {"ok"}
    assert ledger.server.connections >= 200 // 3


@pytest.mark.skipif(NGINX is None, reason=NO_NGINX)
def test_nginx_reloads_twenty_times_under_load(tmp_path: Path) -> None:
    """No idempotent call fails while nginx reloads and closes idle connections."""
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
            rest, stderr = process.communicate(timeout=PATIENCE)
    ledger = ledger_of(process.returncode, out + rest, stderr)
    assert ledger.status == 0
    assert {verdict.split(" in ")[0] for verdict in ledger.verdicts()} == {"ok"}


def test_too_few_descriptors_slow_the_run_and_lose_nothing(
    server: Loopback, tmp_path: Path
) -> None:
    """With 64 descriptors and a limit of 500, as many calls run at once as descriptors allow."""
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(1000))
    server.gate.clear()
    url = secret_url(server.url(""))
    args = ["-a", f"a={url}", "-l", "500", *SECRET_HEADERS, str(source)]
    args += ["--summary", "json", "--deadline", "20s"]
    with subprocess.Popen(
        ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**SECRET_ENVIRONMENT),
    ) as process:
        server.await_requests(16)
        server.gate.set()
        out, stderr = process.communicate(timeout=PATIENCE)
    ledger = ledger_of(process.returncode, out, stderr)
    assert {verdict.split(" in ")[0] for verdict in ledger.verdicts()} == {"ok"}
    assert (ledger.status, len(ledger.lines), len(server.bodies)) == (0, 1000, 1000)
    assert server.peak < 64

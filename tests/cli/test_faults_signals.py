"""Signals while a run waits for something: the first lets it wait, the second ends the wait.

The waits here would take hours, so a run that ends has not waited for them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from support.command import PATIENCE, Process, environment, records, start
from support.faults import (
    SECRET_ENVIRONMENT,
    SECRET_HEADERS,
    Ledger,
    ledger_of,
    secret_url,
    serving,
)
from support.server import Peer, Script, response

COUNT = 4


def parting(*answers: tuple[str, str]) -> Script:
    """Return a script: the requests of all connections get these answers in turn, then `200 OK`.

    Each answer is a status and a header.  The connection is closed after it, and the answer is
    complete once the client has closed it as well.
    """
    left = list(answers)

    async def script(peer: Peer) -> None:
        await peer.request()
        status, header = left.pop(0) if left else ("200 OK", "X-Nothing: 1")
        await peer.send(response(b"{}", header, "Connection: close", status=status))
        await peer.closed()

    return script


CANCELLED = "cancelled in "
NO_PAUSE = ("503 Unavailable", "X-Nothing: 1")
LATE = 1.1  # seconds; an endpoint that has not served for a second may be down


def late(script: Script) -> Script:
    """Return a script that begins later."""

    async def begin_late(peer: Peer) -> None:
        await trio.sleep(LATE)
        await script(peer)

    return begin_late


class Wait(NamedTuple):
    """What a run waits for.

    Attributes:
        script: of the server.
        keys: of the API.
        answers: number of answers after which the wait has begun.
        first, others: beginnings of the endings if the wait is cut short.
    """

    script: Script
    keys: str
    answers: int = 1
    first: str = "cancelled in 1"
    others: str = "cancelled in 0"


def long_waits() -> dict[str, Wait]:
    breaker = 'breaker = { failures = 1, open = "5h", max_open = "5h", wait = "9h" }'
    return {
        "rate": Wait(parting(), 'rate = "1/h"', first="ok in 1"),
        "pause": Wait(parting(("429 Slow Down", "Retry-After: 9999")), ""),
        "breaker": Wait(late(parting(NO_PAUSE)), breaker),
        "back-off": Wait(
            parting(*[NO_PAUSE] * 999), "retries = 99\nbreaker = false", 8, CANCELLED, CANCELLED
        ),
    }


def short_waits() -> dict[str, Wait]:
    breaker = 'breaker = { failures = 1, open = "300ms" }'
    return {
        "rate": Wait(parting(), 'rate = "10/s"'),
        "pause": Wait(parting(("429 Slow Down", "Retry-After: 1")), ""),
        "breaker": Wait(late(parting(NO_PAUSE)), breaker),
        "back-off": Wait(parting(NO_PAUSE, NO_PAUSE), "breaker = false"),
    }


@contextmanager
def waiting(tmp_path: Path, wait: Wait, *args: str) -> Iterator[Process]:
    """Start a run that waits, with records from a file."""
    begun = threading.Semaphore(0)

    async def script(peer: Peer) -> None:
        await wait.script(peer)
        begun.release()

    source, config = tmp_path / "records.jsonl", tmp_path / "config.toml"
    source.write_bytes(records(COUNT))
    with serving({"a": script}, {}, {}) as servers:
        config.write_text(f'[defaults]\ntimeout = "9h"\nlimit = 1\n{wait.keys}\n')
        url = secret_url(servers["a"].url)
        common = ("-c", str(config), "-a", f"a={url}", "--summary", "json", *SECRET_HEADERS)
        env = environment(**SECRET_ENVIRONMENT)
        with start(*common, *args, str(source), env=env) as process:
            try:
                for _ in range(wait.answers):
                    assert begun.acquire(timeout=PATIENCE)
                yield process
            finally:
                process.kill()


def ledger_at_end(process: Process) -> Ledger:
    out, stderr = process.communicate()
    ledger = ledger_of(process.returncode, out, stderr)
    assert len(ledger.lines) == COUNT
    return ledger


def is_cut_short(ledger: Ledger, wait: Wait) -> None:
    first, *others = ledger.endings()
    assert first.startswith(wait.first)
    assert all(verdict.startswith(wait.others) for verdict in others)


@pytest.mark.parametrize("case", long_waits())
def test_a_second_signal_ends_any_wait(tmp_path: Path, case: str) -> None:
    """The run ends at once, with a line for each record."""
    wait = long_waits()[case]
    with waiting(tmp_path, wait) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        ledger = ledger_at_end(process)
    assert ledger.status in (130, 143)
    is_cut_short(ledger, wait)


@pytest.mark.parametrize("case", long_waits())
def test_a_wait_that_is_too_long_ends_with_the_draining(tmp_path: Path, case: str) -> None:
    """What is not finished within the drain timeout is cancelled as well."""
    wait = long_waits()[case]
    with waiting(tmp_path, wait, "--drain-timeout", "200ms") as process:
        process.send_signal(signal.SIGTERM)
        ledger = ledger_at_end(process)
    assert ledger.status == 143
    is_cut_short(ledger, wait)


@pytest.mark.parametrize("case", short_waits())
def test_a_first_signal_lets_a_wait_come_to_its_end(tmp_path: Path, case: str) -> None:
    """Every admitted record is ok, and the run ends with the last one."""
    with waiting(tmp_path, short_waits()[case]) as process:
        process.send_signal(signal.SIGINT)
        ledger = ledger_at_end(process)
    assert ledger.status == 130
    assert {verdict.split(" in ")[0] for verdict in ledger.endings()} == {"ok"}


def test_records_that_linger_are_accounted_for(tmp_path: Path) -> None:
    """Records waiting for their chunk to fill get a line, though none was sent."""
    many = records(10_000)
    args = ("--chunk-linger", "1h", "--chunk-size", "100000", "--summary", "json")
    with start("-a", "a=http://127.0.0.1:1/", *args) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(many)  # more than a pipe holds: some has been read when this returns
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        out, stderr = process.stdout.read(), process.stderr.read()  # the input is still open
        process.stdin.close()
        status = process.wait()
    ledger = ledger_of(status, out, stderr)
    assert ledger.status == 143
    assert 0 < len(ledger.lines) <= 10_000
    assert set(ledger.endings()) == {"cancelled in 0"}

"""What a cluster is refused for, and that no secret gets there."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from support.command import environment, lines, records, run, start
from support.dask import Dask
from support.loopback import Loopback

from tmux_fanout import __version__

TOKEN = "tok-5f0c1e"
BEARER = ("-H", "Authorization: Bearer ${TOKEN}")


def test_secrets_are_those_of_the_members(three: Dask, server: Loopback, tmp_path: Path) -> None:
    """The command need not know a token, and neither scheduler nor workers write it down."""
    args = ("-a", f"x={server.url()}", *BEARER, "-vv", *three.option)
    done = run(*args, stdin=records(20))
    assert done.returncode == 0
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {TOKEN}"}
    for text in (three.log(), done.stdout.decode(), done.stderr.decode()):
        assert TOKEN not in text
    assert TOKEN.encode() not in memory_of(three.scheduler.pid)


def memory_of(pid: int) -> bytes:
    """Return what a process has in memory, apart from mapped files."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            if re.search(r"rw-p .*(\[heap\]| 0 *$)", line):
                with suppress(OSError):  # it may have been unmapped by now
                    memory.seek(start)
                    found.append(memory.read(end - start))
    return b"".join(found)


def test_missing_variable_is_named_and_nothing_is_sent(two: Dask, server: Loopback) -> None:
    """One line says who lacks what; the output file is not touched."""
    done = run("-a", f"x={server.url()}", *BEARER, *two.option, stdin=records(3))
    assert done.returncode == 2
    [line] = done.stderr.decode().splitlines()
    assert re.fullmatch(
        r"tmux-fanout: cluster: 127\.0\.0\.1:\d+: API 'x': headers\.Authorization: "
        r"\$\{TOKEN\} is not set; export TOKEN=\.\.\.",
        line,
    )
    assert (done.stdout, server.bodies) == (b"", [])


def test_check_lists_the_members(two: Dask, server: Loopback) -> None:
    """It says who is ready, and what the others lack."""
    args = ("check", "-a", f"x={server.url()}", "--cluster", f"file:{two.file}")
    done = run(*args)
    assert done.returncode == 0
    ready = rf"(127\.0\.0\.1:\d+: tmux-fanout {re.escape(__version__)}, ready\n){{2}}"
    assert re.fullmatch(ready, done.stderr.decode())
    assert b'cluster = "file:' in done.stdout
    two.join(TOKEN=TOKEN)
    two.await_workers(3)
    done = run(*args, *BEARER)
    assert done.returncode == 2
    assert done.stderr.count(b"${TOKEN} is not set") == 2
    assert done.stderr.count(b", ready\n") == 1
    server.gate.clear()
    with start("-a", f"x={server.url()}", *BEARER, *two.option) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(records(5))
        process.stdin.flush()
        told = {process.stderr.readline() for _ in range(2)}
        assert all(line.endswith(b"; it is left out\n") for line in told)
        assert len(told) == 2
        server.gate.set()
        output, _ = process.communicate()
    assert (process.returncode, len(lines(output))) == (0, 5)


def test_another_version_is_refused_by_name(two: Dask, server: Loopback, tmp_path: Path) -> None:
    """Workers with another version take no part."""
    for worker in two.workers:
        worker.end()
    other = tmp_path / "tmux_fanout-99.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: tmux-fanout\nVersion: 99.0\n")
    two.join(PYTHONPATH=str(tmp_path))
    two.await_workers(3)
    done = run("-a", f"x={server.url()}", *two.option, stdin=records(3))
    assert done.returncode == 2
    why = f"tmux-fanout 99.0 is there, and {__version__} here: install the same\n"
    assert done.stderr.decode().endswith(why)
    assert done.stderr.count(b"\n") == 1
    assert server.bodies == []


def test_scheduler_that_is_not_there(three: Dask) -> None:
    """The message has the address."""
    address = "tcp://127.0.0.1:9"
    env = environment(DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s")
    done = run("-a", "x=http://127.0.0.1:9/", "--cluster", address, env=env)
    assert done.returncode == 2
    start = f"tmux-fanout: cluster: no scheduler can be reached at {address}: "
    assert done.stderr.decode().startswith(start)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tls://127.0.0.1:9", "no certificates: set those under distributed.comm.tls"),
        ("tcp://192.0.2.1:9", "use tls://, or --trust-network"),
    ],
)
def test_address_without_security(three: Dask, address: str, why: str) -> None:
    """Nobody is trusted by mistake."""
    done = run("-a", "x=http://127.0.0.1:9/", "--cluster", address)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert why in done.stderr.decode()

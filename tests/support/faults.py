"""The whole command against servers that misbehave, and checks that hold whatever they do.

    ledger = against(sending(b"garbage"), "-r", "0")
    assert ledger.endings() == ["protocol in 1, ambiguous"] * 3

The command is `main` with its arguments, in this process and in an event loop of its own, with the
real descriptors of the standard streams, which are files here.  So its descriptors can be counted,
and the resolver and the clock can be replaced.  No task outlives it, since `trio.run` returns after
the last one.  The servers run in another event loop, in a thread.

Every place of the configuration that may hold a secret has one, and no output shows any.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, get_args
from unittest.mock import patch

import pytest
import trio
from support.certificates import Certificates
from support.command import PATIENCE, environment, lines
from support.server import Script, Server, serve

from tmux_fanout.cli.main import main
from tmux_fanout.core.errors import ErrorKind

CANARY = "c4n4ry"
USER = f"me:{CANARY}-userinfo"
SECRET_HEADERS = ("-H", f"X-Literal: {CANARY}-header", "-H", "X-Key: ${FAULT_KEY}")
SECRET_ENVIRONMENT = {"FAULT_KEY": f"{CANARY}-environment"}
NO_BREAKER = "[defaults]\nbreaker = false\n"  # a configuration file
SLACK = 8.0  # seconds that a machine may be late; every default time limit is longer

_USUAL = ("-vv", "--summary", "json", "--deadline", f"{PATIENCE}s")
_KINDS = frozenset(get_args(ErrorKind))


def secret_url(origin: str) -> str:
    """Return a URL at an origin such as `http://127.0.0.1:80`, with secrets in it."""
    scheme, _, authority = origin.rstrip("/").partition("://")
    return f"{scheme}://{USER}@{authority}/?key={CANARY}-query"


class Ledger(NamedTuple):
    """The results of a run.

    Attributes:
        status: the exit status.
        lines: of standard output.
        summary: that of `--summary json`.
        stderr: the text on standard error.
        servers: by the names of their APIs.
    """

    status: int
    lines: list[dict[str, Any]]
    summary: dict[str, Any]
    stderr: str
    servers: Mapping[str, Server]

    @property
    def server(self) -> Server:
        """The only server."""
        [server] = self.servers.values()
        return server

    def outcomes(self, api: str = "a") -> list[dict[str, Any]]:
        return [line["results"][api] for line in self.lines]

    def endings(self, api: str = "a") -> list[str]:
        """Each call in words: `ok in 1`, `connect in 3`, `protocol in 1, ambiguous`."""
        return list(map(_ending, self.outcomes(api)))

    def messages(self, api: str = "a") -> list[str]:
        """The messages of the calls that are not ok."""
        outcomes = self.outcomes(api)
        return [outcome["error"]["message"] for outcome in outcomes if "error" in outcome]

    def slowest(self, api: str = "a") -> float:
        """Seconds of the call that took longest."""
        slowest: float = max(outcome["seconds"] for outcome in self.outcomes(api))
        return slowest


def _ending(outcome: Mapping[str, Any]) -> str:
    error = outcome.get("error", {"kind": "ok"})
    unclear = ", ambiguous" if error.get("ambiguous") else ""
    return f"{error['kind']} in {outcome['attempts']}{unclear}"


Against = Callable[..., Ledger]  # the arguments of `run_against` without the folder


def run_against(
    folder: Path,
    scripts: Script | Mapping[str, Script],
    *args: str,
    records: int | Sequence[Any] = 3,
    config: str = "",
    at: Mapping[str, str] | None = None,
    tls: Mapping[str, ssl.SSLContext] | None = None,
    ports: Mapping[str, int] | None = None,
    source: Path | None = None,
    trust: Certificates | None = None,
) -> Ledger:
    """Run the command to its end, and check what must hold for every run.

    Args:
        folder: for files.
        scripts: of the server of each API; a single one is for API `a`.
        args: of the command, besides the APIs; GET is the default method.
        records: the input, or the number of records.
        config: a configuration file.
        at: the origins of APIs that differ from their servers'; `{port}` is the server's port.
        tls: for https servers.
        ports: on which servers listen; any by default.
        source: of the records; a file by default.
        trust: the only authority that the program trusts.
    """
    if not isinstance(scripts, Mapping):
        scripts = {"a": scripts}
    values = list(range(records)) if isinstance(records, int) else list(records)
    before = _descriptors()
    with serving(scripts, tls or {}, ports or {}) as servers:
        origins = {name: server.url for name, server in servers.items()}
        for name, origin in (at or {}).items():
            origins[name] = origin.format(port=servers[name].port if name in servers else "")
        apis = [f"--api={name}={secret_url(origin)}" for name, origin in origins.items()]
        (folder / "config.toml").write_text(config)
        if source is None:
            source = folder / "records.jsonl"
            source.write_text("".join(f"{json.dumps(value)}\n" for value in values))
        method = () if "-X" in args else ("-X", "GET")
        settings = [*apis, *SECRET_HEADERS, "-c", str(folder / "config.toml"), *_USUAL, *method]
        authority = {"SSL_CERT_FILE": str(trust.write_authority(folder))} if trust else {}
        status, out, stderr = _command(
            folder,
            [*settings, *args, str(source)],
            environment(**SECRET_ENVIRONMENT, **authority),
        )
    assert _descriptors() <= before, "descriptors were left open"
    for server in servers.values():
        for request in server.requests:
            assert request.head.count(CANARY.encode()) >= 2, "a secret did not arrive"
    ledger = ledger_of(status, out, stderr, servers)
    assert [line["record"] for line in ledger.lines] == values
    if "--join" not in args:
        finished = 0 if all(line["ok"] for line in ledger.lines) else 1
        statuses = {"finished": finished, "given up": 4, "deadline": 124}
        assert status == statuses[ledger.summary["ending"]]
    return ledger


def ledger_of(
    status: int, out: bytes, stderr: bytes, servers: Mapping[str, Server] | None = None
) -> Ledger:
    """Return the ledger of a run, after checking that it adds up and holds no secret.

    Its standard error must end with the summary as JSON.
    """
    for secret in (CANARY, base64.b64encode(USER.encode()).decode()):
        assert secret.encode() not in out + stderr
    ledger = Ledger(
        status, lines(out), json.loads(stderr.splitlines()[-1]), stderr.decode(), servers or {}
    )
    summary, results = ledger.summary, ledger.lines
    assert [line["index"] for line in results] == list(range(len(results)))
    assert summary["records"] == summary["written"] == len(results)
    assert summary["ok"] == sum(line["ok"] for line in results)
    assert summary["not_ok"] == len(results) - summary["ok"] == sum(summary["errors"].values())
    outcomes = [outcome for line in results for outcome in line["results"].values()]
    assert summary["requests"] == sum(outcome["attempts"] for outcome in outcomes)
    for outcome in outcomes:
        assert outcome["ok"] == ("error" not in outcome)
        if not outcome["ok"]:
            assert outcome["error"]["kind"] in _KINDS
            assert outcome["error"]["message"].isprintable()
    return ledger


@contextmanager
def serving(
    scripts: Mapping[str, Script], tls: Mapping[str, ssl.SSLContext], ports: Mapping[str, int]
) -> Iterator[dict[str, Server]]:
    """Run servers in a thread for the block; re-raise what their scripts raise."""
    started: SimpleQueue[tuple[dict[str, Server], Callable[[], None]] | BaseException] = (
        SimpleQueue()
    )
    raised: list[BaseException] = []

    async def serve_all() -> None:
        async with trio.open_nursery() as nursery:
            servers = {}
            for name, script in scripts.items():
                served = partial(serve, script, tls.get(name), port=ports.get(name, 0))
                servers[name] = await nursery.start(served)
            token = trio.lowlevel.current_trio_token()
            stop = partial(token.run_sync_soon, nursery.cancel_scope.cancel)
            started.put((servers, stop))
            await trio.sleep_forever()

    def run_all() -> None:
        try:
            trio.run(serve_all)
        except BaseException as exc:
            raised.append(exc)
            started.put(exc)

    thread = Thread(target=run_all)
    thread.start()
    ready = started.get()
    if isinstance(ready, BaseException):
        raise ready
    servers, stop = ready
    try:
        yield servers
    finally:
        if not raised:
            stop()
        thread.join()
    if raised:
        raise raised[0]


def _command(folder: Path, args: list[str], env: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Return exit status, standard output and standard error."""
    out, stderr = folder / "out", folder / "said"
    with (
        _instead_of(1, out),
        _instead_of(2, stderr),
        patch.dict(os.environ, env, clear=True),
        patch.object(sys, "argv", ["tmux-fanout", *args]),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.read_bytes(), stderr.read_bytes()


@contextmanager
def _instead_of(fd: int, path: Path) -> Iterator[None]:
    """Replace a standard descriptor by a file for the block."""
    former = os.dup(fd)
    with path.open("wb") as file:
        os.dup2(file.fileno(), fd)
    try:
        yield
    finally:
        os.dup2(former, fd)
        os.close(former)


def _descriptors() -> set[tuple[str, str]]:
    """Return what this process has open, by descriptor."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found

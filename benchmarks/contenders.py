"""The contenders: our command, and its rivals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.checks import Check, Work, all_succeeded, bodies_and_statuses, in_order
from benchmarks.tools import COMPILED, RIVALS, version_of

ANY = sys.maxsize


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A program that can do the work.

    Attributes:
        command: the program and its arguments; records are its standard input as well.
        needs: the modules, programs and node packages that it requires.
        share: fraction of the records that it gets, which keeps slow contenders bearable.
        max_in_flight: how many requests it can have in flight.
        is_right: checks its output.
    """

    name: str
    command: Callable[[Work], list[str]]
    needs: Sequence[str] = ()
    share: float = 1.0
    max_in_flight: int = ANY
    is_right: Check = in_order

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if version_of(name) is None]

    @property
    def versions(self) -> dict[str, str]:
        return {name: found for name in self.needs if (found := version_of(name))}


def ours(*options: str, python: str = sys.executable) -> Callable[[Work], list[str]]:
    """Return the whole command, as users run it."""

    def command(work: Work) -> list[str]:
        urls = zip("abc", work.server.urls)
        apis = [word for name, url in urls for word in ("-a", f"{name}={url}")]
        fixed = ["-l", str(work.limit), "--summary", "none", "--no-progress"]
        return [python, "-m", "tmux_fanout", *apis, *fixed, *options]

    return command


def _rival(
    script: str, *options: str, program: str = sys.executable
) -> Callable[[Work], list[str]]:
    def command(work: Work) -> list[str]:
        path, limit = str(RIVALS / script), str(work.limit)
        return [program, path, *options, "--limit", limit, str(work.records), *work.server.urls]

    return command


def _curl(work: Work) -> list[str]:
    """Return curl with all requests in a configuration file, written before the clock starts.

    curl has one limit for all hosts, and nothing separates its responses, so each is followed by
    a line with its status.
    """
    ports = "-".join(str(urlsplit(url).port) for url in work.server.urls)
    path = work.records.with_suffix(f".{ports}.curl")
    if not path.exists():
        with work.records.open(encoding="utf-8") as records, path.open("w") as file:
            file.writelines(_curl_requests(records, work.server.urls))
    limit = str(work.limit * len(work.server.urls))
    return ["curl", "--parallel", "--parallel-max", limit, "--config", str(path)]


def _curl_requests(records: Iterable[str], urls: Sequence[str]) -> Iterator[str]:
    """Yield the requests one at a time: our memory would count as that of the child."""
    between = ""
    for record in records:
        data = json.dumps(record.rstrip("\n"), ensure_ascii=False)
        for url in urls:
            yield f'{between}url = "{url}"\nheader = "content-type: application/json"\n'
            yield f'data = {data}\nwrite-out = "\\n%{{http_code}}\\n"\n'
            between = "next\n"


def _go(work: Work) -> list[str]:
    """Return the program in Go, which is built before the clock starts."""
    program = work.records.with_name("net_http")
    if not program.exists():
        source = RIVALS / "net_http.go"
        subprocess.run(["go", "build", "-o", str(program), str(source)], check=True)
    return [str(program), "-limit", str(work.limit), str(work.records), *work.server.urls]


def _h2load(work: Work) -> list[str]:
    """Return h2load, which sends one record again and again to the first URL, and only counts."""
    record = work.records.with_suffix(".first")
    if not record.exists():
        with work.records.open("rb") as records:
            record.write_bytes(records.readline())
    count, clients = str(work.requests), str(work.limit * len(work.server.urls))
    return [
        *("h2load", "--h1", "--threads=1", "-n", count, "-c", clients, "-d", str(record)),
        *("-H", "content-type: application/json", work.server.urls[0]),
    ]


OURS = Contender(name="tmux-fanout", command=ours(), needs=["tmux_fanout", "trio"])
OURS_COMPILED = Contender(
    name="tmux-fanout, compiled",
    command=ours(python=str(COMPILED)),
    needs=[str(COMPILED)],
)
OURS_HTTPX = Contender(
    name="tmux-fanout, httpx",
    command=ours("--transport", "httpx"),
    needs=["httpx", "trio"],
    share=0.05,
)
ONE_HTTPX_CLIENT = (
    Contender(
        name="trio, one httpx client",
        command=_rival("httpx_trio.py"),
        needs=["httpx", "trio"],
        share=0.05,
    ),
    Contender(
        name="aiometer, one httpx client",
        command=_rival("httpx_aiometer.py"),
        needs=["httpx", "aiometer"],
        share=0.05,
    ),
)

# The first is the one that the others are compared with.
CONTENDERS = (
    OURS,
    OURS_COMPILED,
    Contender(name="Go, net/http", command=_go, needs=["go"]),
    Contender(
        name="aiohttp, workers, uvloop",
        command=_rival("aiohttp_workers.py"),
        needs=["aiohttp", "uvloop", "msgspec"],
    ),
    Contender(
        name="aiohttp, gather, uvloop",
        command=_rival("aiohttp_gather.py", "--uvloop"),
        needs=["aiohttp", "uvloop"],
    ),
    Contender(name="aiohttp, gather", command=_rival("aiohttp_gather.py"), needs=["aiohttp"]),
    Contender(
        name="node, undici",
        command=_rival("undici_pools.cjs", program="node"),
        needs=["node", "npm:undici"],
    ),
    Contender(
        name="curl -Z",
        command=_curl,
        needs=["curl"],
        max_in_flight=300,
        is_right=bodies_and_statuses,
    ),
    OURS_HTTPX,
    *ONE_HTTPX_CLIENT,
    Contender(name="floor: h2load", command=_h2load, needs=["h2load"], is_right=all_succeeded),
)

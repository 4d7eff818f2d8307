"""What a request costs as other quantities than the number of records grow."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.checks import Work
from benchmarks.contenders import Contender
from benchmarks.report import Report, Spread, ratios
from benchmarks.servers import Server, fast_server, has_nginx, make_tls
from benchmarks.tools import version_of

MIB = 1 << 20
_AS_FILE = str.maketrans(" /,", "---")
_HOSTS = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(10_000)]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One value of a quantity.

    Attributes:
        name: the quantity and its value.
        requests: about how many are made, to all APIs together.
        apis: how many there are.
        sent, received: bytes of each request and response, about.
        keys: of each API, beside `url`.
        has_hosts: whether each record names one of many hosts.
    """

    name: str
    requests: int = 20_000
    apis: int = 1
    sent: int = 0
    received: int = 0
    keys: dict[str, Any] = field(default_factory=dict)
    has_hosts: bool = False


@dataclass(frozen=True, kw_only=True)
class Group:
    """Variants of which each is compared with the first.

    Attributes:
        is_tls: whether the server speaks TLS, with HTTP/2 for those who ask.
        needs_nginx: whether the twin in plain Python cannot serve it.
    """

    variants: Sequence[Variant]
    is_tls: bool = False
    needs_nginx: bool = False


_SIZES = (("100 B", 100, 20_000), ("10 KB", 10_000, 10_000), ("1 MB", 1_000_000, 300))
GROUPS = (
    Group(variants=[Variant(name=f"{n} API{'s' * (n > 1)}", apis=n) for n in (1, 3, 10, 50)]),
    Group(
        variants=[Variant(name=f"{name} sent", sent=size, requests=n) for name, size, n in _SIZES]
    ),
    Group(
        variants=[
            Variant(name=f"{name} received", received=size, requests=n) for name, size, n in _SIZES
        ]
    ),
    Group(
        variants=[
            Variant(name=f"limit {limit:,}", keys={"limit": limit}, requests=40_000)
            for limit in (64, 1_000, 4_000)
        ]
    ),
    Group(
        variants=[
            Variant(name="1 host"),
            Variant(name=f"{len(_HOSTS):,} hosts from records", has_hosts=True),
        ],
        needs_nginx=True,
    ),
    Group(
        variants=[
            Variant(name="HTTP/1.1 over TLS", requests=10_000),
            Variant(name="HTTP/2 over TLS", requests=10_000, keys={"http2": True}),
        ],
        is_tls=True,
        needs_nginx=True,
    ),
)


def scale(bench: Bench) -> Report:
    """Measure the CPU time of a request, in groups in which one quantity grows."""
    rows: list[dict[str, Any]] = []
    notes = [
        "CPU time of the command, start-up included; each is compared with the first of its group"
    ]
    server = "none"
    for group in GROUPS:
        names = ", ".join(variant.name for variant in group.variants)
        if group.needs_nginx and not has_nginx():
            notes.append(f"not installed: nginx, for {names}")
        elif group.is_tls and version_of("trustme") is None:
            notes.append(f"not installed: trustme, for a certificate for {names}")
        else:
            server, found = _compare(bench, group)
            rows += found
    return Report(case="scale", server=server, rows=rows, notes=notes)


def _compare(bench: Bench, group: Group) -> tuple[str, list[dict[str, Any]]]:
    """Return the server, and a row for each variant."""
    tls = make_tls(bench.directory) if group.is_tls else None
    with ExitStack() as stack:
        works = {}
        jobs = {}
        for variant in group.variants:
            serving = fast_server(
                variant.apis,
                bench.cores.server,
                size=variant.received,
                tls=tls,
                is_everywhere=variant.has_hosts,
            )
            server = stack.enter_context(serving)
            work = _work(bench, variant, server)
            works[variant.name] = work
            jobs[variant.name] = bench.job(_contender(variant, work), work)
        usages = bench.in_turn(jobs)
    costs = {
        name: [usage.cpu / works[name].requests * 1e6 for usage in rounds]
        for name, rounds in usages.items()
    }
    first = next(iter(costs))
    rows = [
        {
            "": name,
            "requests": works[name].requests,
            "CPU us/request": Spread(costs[name]),
            "x the first": ratios(costs[name], costs[first]) if name != first else "",
            "peak MiB": Spread([usage.peak / MIB for usage in rounds]),
        }
        for name, rounds in usages.items()
    ]
    return server.what, rows


def _work(bench: Bench, variant: Variant, server: Server) -> Work:
    """Write the records of a variant, and return its work."""
    wanted = bench.records or variant.requests
    count = max(1, min(wanted, variant.requests) // variant.apis)
    path = bench.directory / f"{variant.name.translate(_AS_FILE)}.jsonl"
    text = "x" * variant.sent
    port = urlsplit(server.urls[0]).port
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            record: dict[str, Any] = {"line": number, "message": text}
            if variant.has_hosts:
                record["url"] = f"http://{_HOSTS[number % len(_HOSTS)]}:{port}/v1"
            file.write(json.dumps(record) + "\n")
    return Work(records=path, count=count, server=server)


def _contender(variant: Variant, work: Work) -> Contender:
    """Return our command with the keys of a variant, in a file."""
    lines = []
    for index, url in enumerate(work.server.urls):
        keys = {"url": url, **variant.keys}
        if variant.has_hosts:
            port = urlsplit(url).port
            keys |= {"url": "{+url}", "hosts": [f"{host}:{port}" for host in _HOSTS]}
        lines.append(f"[api.a{index}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    path = Path(f"{work.records}.toml")
    path.write_text("\n".join(lines), encoding="utf-8")
    options = ("-c", str(path), "--summary", "none", "--no-progress")
    command = [sys.executable, "-m", "tmux_fanout", *options]
    return Contender(name=variant.name, command=lambda _: command, is_right=_all_ok)


def _all_ok(lines: Iterable[bytes], work: Work) -> bool:
    """Return whether each record has its line, in order, and is ok."""
    count = 0
    for line in lines:
        result = json.loads(line)
        if not result["ok"] or result["index"] != count:
            return False
        count += 1
    return count == work.count

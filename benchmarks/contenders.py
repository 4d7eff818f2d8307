"""Who runs: our command, and its rivals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shutil import which


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done: each of `count` records to each URL."""

    records: Path
    count: int
    urls: Sequence[str]
    limit: int = 64

    @property
    def requests(self) -> int:
        return self.count * len(self.urls)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A program that can do the work.

    Attributes:
        command: the program and its arguments; records are its standard input as well.
        needs: modules or programs that it cannot run without.
        share: of the records that it gets, so that a slow one does not take the day.
        in_order: whether its output has to be in input order.
    """

    name: str
    command: Callable[[Work], list[str]]
    needs: Sequence[str] = ()
    share: float = 1.0
    in_order: bool = True

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if not (find_spec(name) or which(name))]

    @property
    def versions(self) -> dict[str, str]:
        found = {}
        for name in self.needs:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found


def ours(*options: str) -> Callable[[Work], list[str]]:
    """The whole command, as users run it."""

    def command(work: Work) -> list[str]:
        apis = [word for name, url in zip("abc", work.urls) for word in ("-a", f"{name}={url}")]
        fixed = ["-l", str(work.limit), "--summary", "none", "--no-progress"]
        return [sys.executable, "-m", "tmux_fanout", *apis, *fixed, *options]

    return command


def _rival(script: str, *options: str) -> Callable[[Work], list[str]]:
    def command(work: Work) -> list[str]:
        path = Path(__file__).parent / "rivals" / script
        limit = ["--limit", str(work.limit)]
        return [sys.executable, str(path), *options, *limit, str(work.records), *work.urls]

    return command


OURS = Contender(name="tmux-fanout", command=ours(), needs=["tmux_fanout", "trio"])
AIOHTTP = Contender(name="aiohttp, gather", command=_rival("aiohttp_gather.py"), needs=["aiohttp"])

# The first is what the others are held against.
CONTENDERS = (
    OURS,
    Contender(
        name="aiohttp, gather, uvloop",
        command=_rival("aiohttp_gather.py", "--uvloop"),
        needs=["aiohttp", "uvloop"],
    ),
    AIOHTTP,
    Contender(
        name="tmux-fanout, httpx",
        command=ours("--transport", "httpx"),
        needs=["httpx", "trio"],
        share=0.05,
    ),
    Contender(
        name="trio, one httpx client",
        command=_rival("httpx_trio.py"),
        needs=["httpx", "trio"],
        share=0.05,
    ),
)

"""What all cases share: records, one checked run, and runs in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender, Work
from benchmarks.machine import Cores, Usage, run
from benchmarks.twin import BODY

Run = Callable[[], Usage]

_REPLY = json.loads(BODY)
_LEVELS = ("debug", "info", "info", "info", "notice", "warning", "error")


class Broken(Exception):
    """A contender did not do its work, so that its time means nothing."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The options, and where files may be put.

    Attributes:
        records: how many, or None for what the case takes to be sensible.
        names: words of the contenders' names; none is all of them.
    """

    directory: Path
    cores: Cores
    rounds: int
    records: int | None = None
    names: Sequence[str] = ()

    @property
    def contenders(self) -> list[Contender]:
        """The first one, and those that were asked for and can run here."""
        first, *rivals = CONTENDERS
        wanted = [c for c in rivals if not self.names or any(n in c.name for n in self.names)]
        return [first, *(contender for contender in wanted if not contender.missing)]

    @property
    def absent(self) -> list[str]:
        """A note for each contender that cannot run here."""
        return [f"not here: {c.name} ({', '.join(c.missing)})" for c in CONTENDERS if c.missing]

    def work(self, urls: Sequence[str], count: int, *, limit: int = 64) -> Work:
        """`count` sample records to each URL."""
        path = self.directory / f"{count}.jsonl"
        if not path.exists():
            with path.open("w", encoding="utf-8") as file:
                file.writelines(map(_sample, range(1, count + 1)))
        return Work(records=path, count=count, urls=urls, limit=limit)

    def job(self, contender: Contender, work: Work) -> Run:
        """A checked run of a contender."""
        return partial(self._run, contender, work)

    def _run(self, contender: Contender, work: Work) -> Usage:
        with (
            work.records.open("rb") as stdin,
            TemporaryFile(dir=self.directory) as out,
            TemporaryFile(dir=self.directory) as err,
        ):
            command = contender.command(work)
            usage = run(command, self.cores.client, stdin=stdin, stdout=out, stderr=err)
            if usage.status:
                err.seek(0)
                said = err.read().decode(errors="replace")[-500:]
                raise Broken(f"{contender.name}: exit status {usage.status}: {said}")
            out.seek(0)
            if not _is_right(out, work, in_order=contender.in_order):
                raise Broken(f"{contender.name}: its output is not what it should be")
            return usage

    def in_turn(self, runs: Mapping[str, Run]) -> dict[str, list[Usage]]:
        """Once each to warm up, then A B C A B C ..., so that a bad minute hits all alike."""
        usages: dict[str, list[Usage]] = {name: [] for name in runs}
        for number in range(self.rounds + 1):
            for name, do in runs.items():
                say(f"  {f'round {number}' if number else 'warm-up'}: {name} ")
                usage = do()
                say(f"{usage.seconds:.2f} s\n")
                if number:
                    usages[name].append(usage)
        return usages


def say(text: str) -> None:
    """Progress, for whoever is waiting."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _sample(number: int) -> str:
    level = _LEVELS[number % len(_LEVELS)]
    message = f"GET /items/{number * 7919 % 100_003} 200 in {number % 89} ms"
    record = {"line": number, "time": "2026-03-02T09:00:00Z", "level": level, "message": message}
    return json.dumps(record) + "\n"


def _is_right(lines: Iterable[bytes], work: Work, *, in_order: bool) -> bool:
    """Whether each record has its line, with the server's reply from every API."""
    count = 0
    for line in lines:
        result: dict[str, Any] = json.loads(line)
        outcomes = result["results"].values()
        if in_order and result["index"] != count:
            return False
        if [o["body"] for o in outcomes if o["status"] == 200] != [_REPLY] * len(work.urls):
            return False
        count += 1
    return count == work.count

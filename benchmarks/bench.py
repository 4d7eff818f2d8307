"""What all cases share: sample records, a checked run, and rounds of runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks.checks import Work
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.machine import Cores, Usage, run
from benchmarks.servers import Server

Run = Callable[[], Usage]

_LEVELS = ("debug", "info", "info", "info", "notice", "warning", "error")


class Broken(Exception):
    """A contender produced wrong output, which makes its time meaningless."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The options of a benchmark, and a directory for its files.

    Attributes:
        rounds: measured runs of each contender, after one to warm up.
        records: number of records; None for the default of the case.
        names: run only rivals with one of these words in their names; empty for all.
    """

    directory: Path
    cores: Cores
    rounds: int
    records: int | None = None
    names: Sequence[str] = ()

    @property
    def contenders(self) -> list[Contender]:
        """The first contender, and the requested others that can run here."""
        return self.among(CONTENDERS)

    def among(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Return the first contender, and the requested others that can run here."""
        first, *rivals = contenders
        wanted = [c for c in rivals if not self.names or any(n in c.name for n in self.names)]
        return [first, *(contender for contender in wanted if not contender.missing)]

    def work(self, server: Server, count: int, *, limit: int = 64) -> Work:
        """Return the work of sending `count` sample records to each of the server's URLs."""
        return Work(records=self.sample(count), count=count, server=server, limit=limit)

    def sample(self, count: int) -> Path:
        """Return a file of `count` sample records, written at the first call."""
        path = self.directory / f"{count}.jsonl"
        if not path.exists():
            with path.open("w", encoding="utf-8") as file:
                file.writelines(map(_sample, range(1, count + 1)))
        return path

    def job(self, contender: Contender, work: Work) -> Run:
        """Return a function that runs a contender and checks its output."""
        return partial(self._run, contender, work)

    def _run(self, contender: Contender, work: Work) -> Usage:
        with (
            work.records.open("rb") as stdin,
            TemporaryFile(dir=self.directory) as out,
            TemporaryFile(dir=self.directory) as err,
        ):
            command = contender.command(work)
            usage = run(
                command,
                self.cores.client,
                stdin=stdin,
                stdout=out,
                stderr=err,
                env=work.server.env,
            )
            if usage.status:
                err.seek(0)
                said = err.read().decode(errors="replace")[-500:]
                raise Broken(f"{contender.name}: exit status {usage.status}: {said}")
            out.seek(0)
            if not contender.is_right(out, work):
                raise Broken(f"{contender.name}: its output is wrong")
            return usage

    def in_turn(self, runs: Mapping[str, Run]) -> dict[str, list[Usage]]:
        """Run each once to warm up, then A B C A B C ..., so that a bad minute hits all alike."""
        usages: dict[str, list[Usage]] = {name: [] for name in runs}
        for number in range(self.rounds + 1):
            for name, do in runs.items():
                say(f"  {f'round {number}' if number else 'warm-up'}: {name} ")
                usage = do()
                say(f"{usage.seconds:.2f} s\n")
                if number:
                    usages[name].append(usage)
        return usages


def absent(contenders: Sequence[Contender]) -> list[str]:
    """Return a note for each contender that cannot run here."""
    return [f"not installed: {c.name} ({', '.join(c.missing)})" for c in contenders if c.missing]


def say(text: str) -> None:
    """Show progress on standard error."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _sample(number: int) -> str:
    level = _LEVELS[number % len(_LEVELS)]
    message = f"GET /items/{number * 7919 % 100_003} 200 in {number % 89} ms"
    record = {"line": number, "time": "2026-03-02T09:00:00Z", "level": level, "message": message}
    return json.dumps(record) + "\n"

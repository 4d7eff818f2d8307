"""The exam: the engine against simulated servers, in virtual time.

    python -m tests.support.exam [-s PATTERN]... [-v] [--missed]

prints a table of all scenarios, or of those whose names match, with the targets that are missed.
With -v it also prints notices, the summary and what each server saw, second by second.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from unittest.mock import patch

import msgspec
import trio
from trio.testing import MockClock

from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.report.summary import summary_table
from tmux_fanout.engine.run.local import local_pipeline
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.transports.base import Progress

from .scenarios import Scenario, all_scenarios
from .scripted import ListSink, ListSource
from .throttling import EPOCH, Server

_MAX_SECONDS = 60.0  # beyond three times the ideal, after which a run has failed


class SimulatedTransport:
    """Sends requests to simulated servers, by host."""

    def __init__(self, servers: dict[str, Server]) -> None:
        self._servers = servers

    async def send(self, request: Request, progress: Progress) -> Response:
        """Pass a request on; it has been sent, unless its connection failed."""
        progress.sent = True
        sent = msgspec.json.decode(request.body) if request.body else _from_url(request)
        records = sent if isinstance(sent, list) else [sent]
        server = self._servers[request.head.origin.host]
        reply = await server.answer(records)
        body = msgspec.json.encode(reply.body or _without_prompts(sent))
        headers = tuple((k.lower().encode(), v.encode()) for k, v in reply.headers.items())
        return Response(reply.status, headers, body, len(body))

    async def aclose(self) -> None:
        pass


def _from_url(request: Request) -> dict[str, int]:
    return {"id": int(request.head.target.rpartition("/")[2])}


def _without_prompts(sent: object) -> object:
    if isinstance(sent, list):
        return [_without_prompts(record) for record in sent]
    assert isinstance(sent, dict)
    return {"id": sent["id"]}


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        ok: number of records that are ok.
        seconds: how long it took.
        ending: why it ended; None if it had to be cut short.
        servers: what was called.
        summary: the summary as a table.
        notices: what the user was told, and when.
    """

    scenario: Scenario
    ok: int
    seconds: float
    ending: Ending | None
    servers: Sequence[Server]
    summary: str
    notices: Sequence[tuple[float, str]]

    @property
    def ok_share(self) -> float:
        """The share of the records that could be ok."""
        possible = self.scenario.records - self.scenario.lost
        return min(1.0, self.ok / possible) if possible else 1.0

    @property
    def over(self) -> float:
        return self.seconds / self.scenario.ideal

    @property
    def requests(self) -> int:
        return sum(len(server.arrivals) for server in self.servers)

    @property
    def needed(self) -> float:
        """The requests that have to be made."""
        calls = 1 if self.scenario.one_api else len(self.servers)
        return self.scenario.records * self.scenario.needed * calls

    @property
    def other_over(self) -> float:
        """How long the last server was called, as a multiple of its ideal."""
        ideal = self.scenario.other_ideal
        return max(self.servers[-1].served, default=0.0) / ideal if ideal else 0.0

    @property
    def while_down(self) -> int:
        return sum(server.while_down for server in self.servers)

    @property
    def doubled(self) -> int:
        return sum(server.doubled for server in self.servers)

    def missed(self) -> list[str]:
        """Return the targets that the run missed, with what it came to."""
        target = self.scenario.target
        extra = self.requests - self.needed
        most = target.extra * self.needed + target.extra_more
        burnt = max(server.burnt for server in self.servers)
        gave_up = self.ending is Ending.GIVEN_UP
        checks = {
            f"ok {self.ok_share:.2%} < {target.ok:.1%}": self.ok_share < target.ok,
            f"time {self.over:.2f} > {target.over}": self.over > target.over,
            f"extra {extra:.0f} > {most:.0f}": extra > most,
            f"burnt {burnt} > {target.burnt}": burnt > target.burnt,
            f"doubled {self.doubled}": self.doubled > 0 and not target.doubled,
            f"other {self.other_over:.2f} > {target.other_over}": self.other_over
            > target.other_over,
            "no end": self.ending is None,
            f"ended as {self.ending}": gave_up != target.gives_up and self.ending is not None,
        }
        return [what for what, is_missed in checks.items() if is_missed]


def plan_of(scenario: Scenario) -> RunPlan:
    """Return the plan of a run; the hosts of the servers are a.test, b.test and so on."""
    names = [chr(ord("a") + index) for index in range(len(scenario.servers))]
    path = "/{id}" if scenario.api.get("method") == "GET" else "/"
    if scenario.one_api:
        bases = [f"http://{name}.test" for name in names]
        apis = [Api("a", path, endpoints=bases, **scenario.api)]
    else:
        apis = [Api(name, f"http://{name}.test{path}", **scenario.api) for name in names]
    return plan_run(apis, RunSettings(**scenario.run), {})


def examine(scenario: Scenario, *, seed: int = 7) -> Report:
    """Play a scenario in virtual time."""
    clock = MockClock(autojump_threshold=0)
    # Retry-After dates and the like are relative to the time of day.
    with patch("time.time", lambda: EPOCH + clock.current_time()):
        return trio.run(_play, scenario, seed, clock=clock)


async def _play(scenario: Scenario, seed: int) -> Report:
    servers = [make() for make in scenario.servers]
    for index, server in enumerate(servers):
        server.random.seed(seed + index)
    hosts = {f"{chr(ord('a') + index)}.test": server for index, server in enumerate(servers)}
    plan, sink = plan_of(scenario), ListSink()
    notices: list[tuple[float, str]] = []

    def notify(text: str) -> None:
        notices.append((trio.current_time(), text))

    transports = [SimulatedTransport(hosts) for _ in plan.apis]
    pipeline = local_pipeline(
        plan, transports, _source(scenario), sink, random=Random(seed), notify=notify
    )
    with trio.move_on_after(3 * scenario.ideal + _MAX_SECONDS) as most:
        await pipeline.run()
    return Report(
        scenario,
        ok=sum(result.ok for result in sink.results),
        seconds=trio.current_time(),
        ending=None if most.cancelled_caught else pipeline.ending,
        servers=servers,
        summary=_summary(pipeline),
        notices=notices,
    )


def _source(scenario: Scenario) -> ListSource:
    more = {"prompt": "x" * scenario.prompt} if scenario.prompt else {}
    values = [{"id": i, "size": size, **more} for i, size in enumerate(scenario.costs())]
    return ListSource([(0.0, values)])


def _summary(pipeline: Pipeline) -> str:
    return summary_table(pipeline.statistics, pipeline.ending)


_HEAD = (
    f"{'scenario':28} {'ok %':>6} {'time':>6} {'ideal':>6} {'over':>5} {'sent':>5} "
    f"{'peak':>4} {'down':>5}  missed"
)


def row(report: Report) -> str:
    """Return one line of the table.

    Its columns are the share of records that are ok, the time in seconds, the ideal, their ratio,
    requests per needed one, most in flight at one server, and requests to one that was down.
    """
    peak = max(server.peak for server in report.servers)
    is_down = any(server.down[0] < math.inf for server in report.servers)
    return (
        f"{report.scenario.name:28} {100 * report.ok_share:6.2f} {report.seconds:6.1f} "
        f"{report.scenario.ideal:6.1f} {report.over:5.2f} {report.requests / report.needed:5.2f} "
        f"{peak:4} {report.while_down if is_down else '':>5}  {'; '.join(report.missed())}"
    ).rstrip()


def _details(report: Report) -> str:
    lines = [f"{time:8.2f}  {text}" for time, text in report.notices]
    lines.append(report.summary)
    for server in report.servers:
        lines.append(repr(server))
        for name in ("arrivals", "served", "refused"):
            counts = Counter(int(time) for time in getattr(server, name))
            seconds = range(min(150, 1 + max(counts, default=0)))
            lines.append(f"{name:9}" + " ".join(str(counts[second]) for second in seconds))
    return "\n".join(lines)


def main(write: Callable[[str], object] = sys.stdout.write) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.exam")
    parser.add_argument("-s", "--scenario", metavar="PATTERN", action="append", default=[])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--missed", action="store_true", help="print only what misses a target")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    missed = played = 0
    write(_HEAD + "\n")
    for name, scenario in all_scenarios().items():
        if args.scenario and not any(fnmatchcase(name, pattern) for pattern in args.scenario):
            continue
        report = examine(scenario, seed=args.seed)
        played += 1
        missed += bool(report.missed())
        if report.missed() or not args.missed:
            write(row(report) + "\n")
            sys.stdout.flush()
        if args.verbose:
            write(_details(report) + "\n")
    write(f"{played - missed} of {played} scenarios reach their targets\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):
        main()

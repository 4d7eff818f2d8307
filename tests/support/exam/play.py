"""Play a scenario with the real engine, and hold the result against the targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

import msgspec
import trio
from trio.testing import MockClock

from tmux_fanout.core.config.plan import RunPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.display.summary import summary_table
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.transports.base import Progress

from ..scripted import ListSink, ListSource
from ..throttling import EPOCH, Server
from .scenario import Scenario

_MAX_SECONDS = 60.0  # beyond three times the ideal, after which a run has failed


class SimulatedTransport:
    """Sends requests to simulated servers, by host."""

    def __init__(self, servers: dict[str, Server]) -> None:
        self._servers = servers

    async def send(self, request: Request, progress: Progress) -> Response:
        """Pass a request on; it has been sent, unless its connection failed."""
        progress.sent = True
        sent = msgspec.json.decode(request.content) if request.body else _from_url(request)
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
        burnt: number of records that failed, not counting what the end of the run cut short.
        seconds: how long it took.
        ending: why it ended; None if it had to be cut short.
        servers: what was called.
        summary: the summary as a table.
        notices: what the user was told, and when.
    """

    scenario: Scenario
    ok: int
    burnt: int
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
        gave_up = self.ending is Ending.GIVEN_UP
        checks = {
            f"ok {self.ok_share:.2%} < {target.ok:.1%}": self.ok_share < target.ok,
            f"time {self.over:.2f} > {target.over}": self.over > target.over,
            f"extra {extra:.0f} > {most:.0f}": extra > most,
            f"burnt {self.burnt} > {target.burnt}": self.burnt > target.burnt,
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
    """Play a scenario in virtual time, the same way every time."""
    clock = MockClock(autojump_threshold=0)
    with _reproducible(clock, seed):
        return trio.run(_play, scenario, seed, clock=clock)


@contextmanager
def _reproducible(clock: MockClock, seed: int) -> Iterator[None]:
    """Tie the time of day to a clock, and trio's choice of the next task to a seed."""
    scheduler = trio._core._run
    scheduler._r.seed(seed)
    with (
        patch("time.time", lambda: EPOCH + clock.current_time()),
        patch.object(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
    ):
        yield


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
        plan, transports, _source(scenario), sink, LocalOptions(random=Random(seed)), notify=notify
    )
    with trio.move_on_after(3 * scenario.ideal + _MAX_SECONDS) as most:
        await pipeline.run()
    return Report(
        scenario,
        ok=sum(result.ok for result in sink.results),
        burnt=sum(map(_is_burnt, sink.results)),
        seconds=trio.current_time(),
        ending=None if most.cancelled_caught else pipeline.ending,
        servers=servers,
        summary=summary_table(pipeline.statistics, pipeline.ending),
        notices=notices,
    )


def _is_burnt(result: Result) -> bool:
    errors = [outcome.error for outcome in result.outcomes if outcome and outcome.error]
    return any(error.kind != "cancelled" for error in errors)


def _source(scenario: Scenario) -> ListSource:
    more = {"prompt": "x" * scenario.prompt} if scenario.prompt else {}
    values = [{"id": i, "size": size, **more} for i, size in enumerate(scenario.costs())]
    return ListSource([(0.0, values)])

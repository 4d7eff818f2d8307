"""Run the records of tests, repeated, against APIs that fail at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import trio
from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.json_text import decode_json, split_list
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.timings import encoder_for
from tmux_fanout.core.testing.answers import Answers, Asked
from tmux_fanout.core.testing.faults import Fault, Weather, draw_weather
from tmux_fanout.core.testing.promises import Attempted, Outcome
from tmux_fanout.core.testing.statement import ConfigTest, Reply
from tmux_fanout.core.testing.verdict import Observed
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.calls.call import Attempt, Call
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.engine.simulation.clock import run_in_virtual_time
from tmux_fanout.engine.simulation.memory import LinesSink, RecordsSource
from tmux_fanout.engine.testing.running import PATIENCE, Steady, repeatable, run_test
from tmux_fanout.engine.testing.transport import ANY_TOKEN, answer, members_of
from tmux_fanout.engine.testing.turns import Turns
from tmux_fanout.transports.base import Progress, Transport
from tmux_fanout.transports.select import open_transports

_GAP = 1e-4  # seconds between records, so that few things happen at the same time
_ANY = Reply(body=b"{}", headers=((b"content-type", b"application/json"),))


class Chaos(NamedTuple):
    """A run with faults.

    Attributes:
        plan: of the run.
        outcome: of the run.
        met: for each API, how often each fault was drawn.
        seconds: of virtual time.
        notices: lines for the user.
    """

    plan: RunPlan
    outcome: Outcome
    met: Mapping[str, Mapping[str, int]]
    seconds: float
    notices: Sequence[str]


def run_chaos(plan: RunPlan, tests: Sequence[ConfigTest], seed: int, count: int) -> Chaos:
    """Run the records of tests against APIs that fail at random.

    Args:
        plan: of the run; limits that would end it early are ignored.
        tests: have the records, and the responses where no fault is drawn.
        seed: of the faults.
        count: number of records.
    """
    observed = [(run_test(plan, test), len(test.records)) for test in tests]
    settings = replace(plan.settings, deadline=None)
    plan = replace(repeatable(plan), settings=settings, max_failures=None, max_cost=None)
    return run_in_virtual_time(_Run(plan, tests, observed, seed, count).play)


class _Run:
    def __init__(
        self,
        plan: RunPlan,
        tests: Sequence[ConfigTest],
        observed: Sequence[tuple[Observed, int]],
        seed: int,
        count: int,
    ) -> None:
        values = [value for test in tests for value in test.records]
        self._plan = plan
        self._records = [record_of(index, values[index % len(values)]) for index in range(count)]
        self._apis = _Apis(plan, tests, observed, seed)
        self._sink = LinesSink(encoder_for("envelope", plan.names, has_marks=plan.has_marks))
        self._notices: list[str] = []

    async def play(self) -> Chaos:
        plan = self._plan
        ended = f"the run is not done after {show_duration(PATIENCE)} of virtual time"
        largest = max(api.batch.size if api.batch else 1 for api in plan.apis)
        source = RecordsSource(self._records, largest, _GAP)
        read = 0
        with trio.move_on_after(PATIENCE):
            async with (
                open_transports(plan.apis, {}, self._apis.connect) as transports,
                trio.open_nursery(strict_exception_groups=True) as nursery,
            ):
                nursery.start_soon(self._apis.turns.hand_out)
                pipeline = local_pipeline(
                    plan,
                    transports,
                    source,
                    self._sink,
                    LocalOptions(random=Steady()),
                    notify=self._notices.append,
                )
                await pipeline.run()
                read = pipeline.statistics.read
                nursery.cancel_scope.cancel()
            ended = ""
        lines: list[Mapping[str, Any]] = list(map(decode_json, self._sink.lines))
        records = [_value_of(record) for record in self._records]
        outcome = Outcome(read, records, lines, self._apis.attempts, ended)
        return Chaos(plan, outcome, self._apis.met, trio.current_time(), self._notices)


def _value_of(record: Record) -> Any:
    return None if record.error else decode_json(record.json)


class _Apis:
    """All APIs of a run, and what they saw.

    Attributes:
        attempts: so far.
        met: for each API, how often each fault was drawn.
        turns: orders requests and answers; `turns.hand_out` has to run beside them.
    """

    def __init__(
        self,
        plan: RunPlan,
        tests: Sequence[ConfigTest],
        observed: Sequence[tuple[Observed, int]],
        seed: int,
    ) -> None:
        self.attempts: list[Attempted] = []
        self.met: dict[str, Counter[str]] = {api.name: Counter() for api in plan.apis}
        self.turns = Turns()
        self._plan = plan
        self._seed = seed
        self._asked = Counter[object]()
        self._places = sum(records for _, records in observed)
        self._served = Counter[tuple[str, int]]()  # requests, by API and record
        self._answers = {api.name: Answers(api, observed) for api in plan.apis}
        self._good = {api.name: list(_good(tests, api.name)) or [_ANY] for api in plan.apis}
        self._weather: dict[str, Weather] = {
            api.name: draw_weather(Random(f"{seed} {api.name}").random) for api in plan.apis
        }

    def connect(self, plan: ApiPlan, client: OAuth2 | None) -> Transport:
        """Return a transport to an API, or to a token endpoint that never fails."""
        if client is not None:
            return _TokenTransport()
        index = [each.name for each in self._plan.apis].index(plan.name)
        return _ChaoticTransport(self, self._plan.apis[index], index)

    def draw(self, api: ApiPlan, request: Request, members: Sequence[Call]) -> Fault:
        """Return what happens to a request: the same whatever other requests there are."""
        record = members[0].pending.record.index
        key = (api.name, record, request.head.method, request.head.target)
        self._asked[key] += 1
        draw = Random(f"{self._seed} {key} {self._asked[key]}").random
        reply = self._answer(api, request, members, draw())
        fault = self._weather[api.name].draw(draw, trio.current_time(), reply)
        self.met[api.name][fault.label] += 1
        return fault

    def _answer(
        self, api: ApiPlan, request: Request, members: Sequence[Call], choice: float
    ) -> Reply:
        """Return what a request gets if nothing happens to it."""
        indexes = [member.pending.record.index for member in members]
        asked = [
            Asked(index % self._places, self._served[api.name, index], member.key)
            for index, member in zip(indexes, members)
        ]
        # Whose answers a record gets is the same for all of its requests.
        whose = Random(f"{self._seed} {api.name} {indexes[0]}").random()
        reply = self._answers[api.name].find(asked, whose)
        if reply is not None:
            return replace(reply, delay=0.0)
        good = self._good[api.name]
        reply = good[int(choice * len(good))]
        return reply if api.batch is None else _of_batch(reply, request)

    def served(self, api: ApiPlan, members: Sequence[Call]) -> None:
        """Note that a request was answered as it should be."""
        self._served.update((api.name, member.pending.record.index) for member in members)


def _good(tests: Sequence[ConfigTest], name: str) -> Sequence[Reply]:
    """Return the answers of an API that its tests have, if they are successes."""
    replies = [reply for test in tests for reply in test.replies.get(name, ())]
    return [replace(each, delay=0.0) for each in replies if not each.error and each.status < 300]


def _of_batch(reply: Reply, request: Request) -> Reply:
    """Return an answer with as many items as the request has, if both are lists."""
    items, wanted = split_list(reply.body), split_list(request.content)
    if not items or not wanted:
        return reply
    body = b",".join(items[index % len(items)] for index in range(len(wanted)))
    return replace(reply, body=b"[%b]" % body)


class _TokenTransport:
    async def send(self, request: Request, progress: Progress) -> Response:
        del request, progress
        await trio.lowlevel.checkpoint()
        return answer(ANY_TOKEN, len(ANY_TOKEN.body))

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


class _ChaoticTransport:
    """Sends the requests of one API, and keeps what its servers saw."""

    def __init__(self, apis: _Apis, plan: ApiPlan, index: int) -> None:
        self._apis = apis
        self._plan = plan
        self._index = index

    def __repr__(self) -> str:
        return f"<ChaoticTransport: {self._plan.name}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        assert isinstance(progress, Attempt)
        attempt = progress
        members = members_of(attempt)
        records = tuple(member.pending.record.index for member in members)
        began, fault = trio.current_time(), None
        is_hedge, endpoint = attempt.is_hedge, attempt.endpoint
        is_over = False
        key = (self._index, records[0])
        try:
            await self._apis.turns.wait(key)
            fault = self._apis.draw(self._plan, request, members)
            progress.sent = fault.reply.error != "connect"
            await trio.sleep(fault.reply.delay)
            await self._apis.turns.wait(key)
            if fault.reply.error == "timeout":
                await trio.sleep_forever()  # the engine ends its patience
            is_over = True
            if fault.is_stale:
                message = "kept-alive connection closed"
                raise TransportError("protocol", message, sent=True, transient=True, stale=True)
            response = answer(fault.reply, self._plan.max_response)
            if fault.is_good:
                self._apis.served(self._plan, members)
            return response
        except trio.Cancelled:
            await self._apis.turns.leave(key)
            raise
        finally:
            self._apis.attempts.append(
                Attempted(
                    self._index,
                    records,
                    request,
                    endpoint,
                    began,
                    trio.current_time(),
                    fault if is_over else None,
                    progress.sent,
                    is_hedge,
                )
            )

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""

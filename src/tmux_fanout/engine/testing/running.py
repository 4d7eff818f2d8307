"""Run one test: its records through the engine, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.json_text import decode_json
from tmux_fanout.core.results.timings import encoder_for
from tmux_fanout.core.testing.statement import ConfigTest
from tmux_fanout.core.testing.verdict import Observed
from tmux_fanout.core.units import show_duration
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.local_pipeline import local_pipeline
from tmux_fanout.engine.simulation.clock import run_in_virtual_time
from tmux_fanout.engine.simulation.memory import LinesSink, RecordsSource
from tmux_fanout.engine.testing.transport import StatedApis
from tmux_fanout.transports.select import open_transports


class Steady(Random):
    """No randomness: delays of retries are the same, whatever the order of their calls."""

    def random(self) -> float:
        return 0.5


PATIENCE = 30 * 24 * 3600.0  # seconds of virtual time


def run_test(plan: RunPlan, test: ConfigTest) -> Observed:
    """Run a test, and return what happened.

    Args:
        plan: of the run; its APIs are not called.
        test: has the records and the replies.
    """
    return run_in_virtual_time(_Test(repeatable(plan), test).play)


def repeatable(plan: RunPlan) -> RunPlan:
    """Return a plan whose requests are the same each time, as they were written.

    They have no ids of traces, which are random numbers; no answer comes from a cache on disk; and
    bodies are not compressed.
    """
    plain = {"traceparent": False, "cache": None, "compress": False}
    apis = tuple(msgspec.structs.replace(api, **plain) for api in plan.apis)
    return msgspec.structs.replace(plan, apis=apis)


class _Test:
    def __init__(self, plan: RunPlan, test: ConfigTest) -> None:
        self._plan = plan
        self._scope = trio.CancelScope()
        self._apis = StatedApis(plan.apis, test, self._scope.cancel)
        self._records = [record_of(index, value) for index, value in enumerate(test.records)]
        self._sink = LinesSink(encoder_for("envelope", plan.names, has_marks=plan.has_marks))
        self._notices: list[str] = []

    async def play(self) -> Observed:
        plan = self._plan
        source = RecordsSource(self._records, plan.chunk_size)
        is_late = True
        with trio.move_on_after(PATIENCE), self._scope:
            async with (
                open_transports(plan.apis, {}, self._apis.connect) as transports,
                trio.open_nursery(strict_exception_groups=True) as nursery,
            ):
                nursery.start_soon(self._apis.turns.hand_out)
                await local_pipeline(
                    plan,
                    transports,
                    source,
                    self._sink,
                    LocalOptions(random=Steady()),
                    notify=self._notices.append,
                ).run()
                nursery.cancel_scope.cancel()
            is_late = False
        is_late = is_late and not self._scope.cancelled_caught
        return Observed(
            results=self._results(),
            sent=self._apis.sent,
            left={} if self._scope.cancelled_caught else self._apis.left(),
            notices=self._notices,
            ended=f"not done after {show_duration(PATIENCE)} of virtual time" if is_late else "",
        )

    def _results(self) -> Sequence[Any]:
        results = map(decode_json, self._sink.lines)
        return sorted(results, key=lambda result: int(result["index"]))

"""The requests of calls, without a run: built once, or built again as they were."""

from __future__ import annotations

from itertools import count

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request
from tmux_fanout.core.records.parser import Record
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.payloads import Payloads


@pytest.mark.parametrize("batch", [None, {"size": 2}])
def test_a_request_that_is_built_again_tells_the_same_time(batch: dict[str, int] | None) -> None:
    """A large request is dropped between attempts; the next one must not differ from it."""
    api = Api("a", "http://a.test/", body="{at: now(), text: text}", batch=batch)
    payloads = Payloads(plan_run([api], RunSettings(), {}).apis[0], clock=lambda: next(ticks))
    ticks = (1e9 + tick for tick in count())
    text = b'{"text": "%b"}' % (b"x" * 5000)
    calls = [Call(PendingRecord(Record(n, text, text))) for n in range(2)]
    bodies = []
    for call in calls:
        request = payloads.prepare(call)
        assert isinstance(request, Request)
        bodies.append(request.body)
        payloads.drop_if_large(call)
    assert bodies[0] != bodies[1]
    assert [payloads.request_of(call).body for call in calls] == bodies


def test_no_clock_is_read_unless_an_expression_asks() -> None:
    """Requests and responses without `now()` do not cost a system call."""

    def clock() -> float:
        raise AssertionError

    api = Api("a", "http://a.test/", body="{text: text}")
    payloads = Payloads(plan_run([api], RunSettings(), {}).apis[0], clock=clock)
    record = Record(0, b'{"text": 1}', b'{"text": 1}')
    assert isinstance(payloads.prepare(Call(PendingRecord(record))), Request)

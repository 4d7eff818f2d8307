"""The requests of calls, without a run: built once, or built again as they were."""

from __future__ import annotations

from itertools import count

import pytest

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.engine.calls.call import Call, PendingRecord
from tmux_fanout.engine.calls.payloads import Payloads


@pytest.mark.parametrize("batch", [None, {"size": 2}])
def test_a_request_that_is_built_again_tells_the_same_time(batch: dict[str, int] | None) -> None:
    """A large request is dropped between attempts; the next one must not differ from it."""
    api = Api("a", "http://a.test/", body="{at: now(), text: text}", batch=batch)
    payloads = Payloads(
        plan_run([api], RunSettings(), {}).apis[0], ApiStatistics("a"), clock=lambda: next(ticks)
    )
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
    payloads = Payloads(plan_run([api], RunSettings(), {}).apis[0], ApiStatistics("a"), clock=clock)
    record = Record(0, b'{"text": 1}', b'{"text": 1}')
    assert isinstance(payloads.prepare(Call(PendingRecord(record))), Request)


def test_a_response_is_read_at_the_time_of_the_clock() -> None:
    """Also while it is not known yet whether `select` ever finds anything."""
    api = Api("a", "http://a.test/", select="[now(), x]")
    statistics = ApiStatistics("a")
    payloads = Payloads(plan_run([api], RunSettings(), {}).apis[0], statistics, lambda: next(ticks))
    ticks = iter([5.0, 6.0])
    call = Call(PendingRecord(Record(0, b"1", b"1")))
    call.attempts, call.started, call.ended = 1, 0.0, 1.0
    response = Response(200, ((b"content-type", b"application/json"),), b"{}", 0)
    bodies = [payloads.outcome_of(call, response, None).content for _ in range(2)]
    assert [body and body.json for body in bodies] == [
        b'["1970-01-01T00:00:05.000Z",null]',
        b'["1970-01-01T00:00:06.000Z",null]',
    ]
    assert statistics.has_found

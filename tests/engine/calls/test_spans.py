"""The spans of calls, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, ScriptedTransport, TasklessScripted, answers

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.tracing.spans import Span

REFUSED = TransportError("connect", "refused", sent=False, transient=True)


class Traced(Scenario):
    """A run whose spans are kept.

    Attributes:
        spans: in the order in which they ended.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        self.spans: list[Span] = []
        super().__init__(*args, export=self.spans.append, **more)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def assert_whole(spans: list[Span]) -> None:
    """Every parent is there, in the same trace and around its parts."""
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans:
        assert span.began <= span.ended
        if span.parent:
            parent = by_id[span.parent]
            assert parent.id.trace == span.id.trace
            assert parent.began <= span.began + 1e-6
            assert parent.ended >= span.ended - 1e-6


@pytest.mark.parametrize("transport", [ScriptedTransport, TasklessScripted])
async def test_record_has_calls_and_calls_have_attempts(
    autojump_clock: object, transport: type[ScriptedTransport]
) -> None:
    """With the attributes of HTTP clients."""
    fails_first = answers(Answer(1.0, status=503), Answer(1.0))
    scenario = Traced({"a": fails_first, "b": answers(Answer(0.5))}, [1], transport=transport)
    await scenario.play()
    assert_whole(scenario.spans)
    (record,), (a,), (b,) = (scenario.named(name) for name in ("record", "call a", "call b"))
    assert record.parent is None
    assert record.attributes == {"tmux_fanout.record.index": 0}
    assert a.parent == b.parent == record.id
    assert a.attributes == {"tmux_fanout.api": "a", "tmux_fanout.attempts": 2}
    first, second = (span for span in scenario.named("POST") if span.parent == a.id)
    assert first.attributes == {
        "http.request.method": "POST",
        "url.full": "http://api.test/",
        "server.address": "api.test",
        "server.port": 80,
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert (first.error, first.is_client) == ("503", True)
    assert second.attributes["http.request.resend_count"] == 1
    assert second.error == a.error == record.error == ""
    assert second.ended - second.began == pytest.approx(1.0)


async def test_sockets_are_addresses_without_a_port(autojump_clock: object) -> None:
    """As OpenTelemetry's semantic conventions have it."""
    scenario = Traced({"a": answers(Answer(1.0))}, [1], api={"socket": "/run/x.sock"})
    await scenario.play()
    [span] = scenario.named("POST")
    assert span.attributes["server.address"] == "/run/x.sock"
    assert "server.port" not in span.attributes


async def test_failures_have_their_kinds(autojump_clock: object) -> None:
    """Those of the call and of the record as well."""
    scenario = Traced(
        {"a": answers(Answer(1.0, failure=REFUSED)), "b": answers(Answer(99.0))},
        [1],
        api={"retries": 0, "attempt_timeout": 2.0},
    )
    await scenario.play()
    assert_whole(scenario.spans)
    errors = {span.name: span.error for span in scenario.spans if span.name != "POST"}
    assert errors == {"record": "connect", "call a": "connect", "call b": "timeout"}
    assert sorted(span.error for span in scenario.named("POST")) == ["connect", "timeout"]


async def test_batch_is_a_trace_that_calls_link_to(autojump_clock: object) -> None:
    """Each record is a trace of its own nevertheless."""

    def echo(value: Any, attempt: int) -> Answer:
        return Answer(1.0, body=b"[7,7]")

    scenario = Traced({"a": echo}, [1, 2], api={"batch": {"size": 2}})
    await scenario.play()
    assert_whole(scenario.spans)
    (request,) = scenario.named("POST")
    assert request.parent is None
    assert [span.link for span in scenario.named("call a")] == [request.id] * 2
    assert len({span.id.trace for span in scenario.spans}) == 3


async def test_fallback_is_another_call_of_the_record(autojump_clock: object) -> None:
    """Of the same trace, which is that of the header where it is sent."""
    scenario = Traced(
        {"a": answers(Answer(1.0, failure=REFUSED)), "b": answers(Answer(1.0))},
        [1],
        each={"a": {"retries": 0}, "b": {"fallback_of": "a", "traceparent": True}},
    )
    (result,) = await scenario.play()
    assert_whole(scenario.spans)
    assert sorted(span.name for span in scenario.spans) == [
        *("POST", "POST", "call a", "call b", "record")
    ]
    assert {span.id.trace for span in scenario.spans} == {result["a"].trace}


async def test_record_without_a_request_has_no_span(autojump_clock: object) -> None:
    """Nothing took time."""
    scenario = Traced({"a": answers(Answer(1.0))}, [1], api={"when": "missing == 'x'"})
    await scenario.play()
    assert scenario.spans == []


async def test_cut_short_and_lost_calls_have_spans(autojump_clock: object) -> None:
    """Up to the moment at which they were stopped; attempts that end with the run have none."""
    scenario = Traced({"a": answers(Answer(99.0))}, [1], deadline=1.0)
    await scenario.play()
    assert_whole(scenario.spans)
    assert {span.name: span.error for span in scenario.spans} == {
        "record": "deadline",
        "call a": "deadline",
    }
    lost = Traced({"a": answers(Answer(1.0)), "b": answers(Answer(9.0))}, [1], join="first")
    await lost.play()
    assert {span.name: span.error for span in lost.spans if span.name != "POST"} == {
        "record": "",
        "call a": "",
        "call b": "lost",
    }


async def test_times_are_those_of_the_wall_clock(autojump_clock: trio.abc.Clock) -> None:
    """In seconds since 1970."""
    scenario = Traced({"a": answers(Answer(1.0))}, [1])
    await scenario.play()
    assert all(span.began > 1e9 for span in scenario.spans)

"""The traces of calls, in virtual time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.scripted import Answer, Scenario, Script, ScriptedTransport, TasklessScripted, answers

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.tracing.traceparent import find_traceparent
from tmux_fanout.transports.base import Progress

REFUSED = TransportError("connect", "refused", sent=False, transient=True)
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

Sent = list[tuple[str | None, bytes]]


def listening(kind: type[ScriptedTransport], sent: Sent) -> Any:
    """Return what makes a transport that keeps the header and the body of each attempt."""

    class Listening(kind):  # type: ignore[misc,valid-type]  # a class that is a parameter
        async def play(self, request: Request, progress: Progress) -> Response:
            sent.append((find_traceparent(request.head.headers), request.content))
            return await super().play(request, progress)  # type: ignore[no-any-return]  # as above

    return Listening


def play(
    scripts: dict[str, Script],
    values: list[Any],
    sent: Sent,
    *,
    kind: type[ScriptedTransport] = ScriptedTransport,
    **more: Any,
) -> Scenario:
    api = {"traceparent": True, **more.pop("api", {})}
    return Scenario(scripts, values, transport=listening(kind, sent), api=api, **more)


def ids(sent: Sent) -> list[tuple[str, str]]:
    """Return the trace and the parent of each attempt."""
    found = []
    for value, _ in sent:
        match = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-01", value or "")
        assert match, value
        found.append((match[1], match[2]))
    return found


@pytest.mark.parametrize("kind", [ScriptedTransport, TasklessScripted])
async def test_record_is_one_trace_at_all_apis_and_in_all_attempts(
    autojump_clock: object, kind: type[ScriptedTransport]
) -> None:
    """Each attempt has a parent id of its own, and each outcome names the trace."""
    sent: Sent = []
    fails_first = answers(Answer(1.0, status=503), Answer(1.0))
    scenario = play({"a": fails_first, "b": answers(Answer(1.0))}, [1, 2], sent, kind=kind)
    results = await scenario.play()
    assert [result["a"].attempts for result in results] == [2, 2]
    by_body: dict[bytes | None, set[str]] = {}
    for (trace, _), (_, body) in zip(ids(sent), sent):
        by_body.setdefault(body, set()).add(trace)
    assert [len(by_body[body]) for body in (b"1", b"2")] == [1, 1]
    assert by_body[b"1"] != by_body[b"2"]
    assert len({parent for _, parent in ids(sent)}) == len(sent) == 6
    for result, body in zip(results, (b"1", b"2")):
        assert {result["a"].trace, result["b"].trace} == by_body[body]


async def test_there_is_none_without_the_setting(autojump_clock: object) -> None:
    """Another API may have it."""
    sent: Sent = []
    scenario = play(
        {"a": answers(Answer(1.0)), "b": answers(Answer(1.0))},
        [1],
        sent,
        each={"b": {"traceparent": False}},
    )
    (result,) = await scenario.play()
    assert sorted(value is None for value, _ in sent) == [False, True]
    assert (bool(result["a"].trace), result["b"].trace) == (True, "")


async def test_header_of_the_user_wins(autojump_clock: object) -> None:
    """It is the only one, its trace is in the outcome, and a record without it gets another."""
    sent: Sent = []
    scenario = play(
        {"a": answers(Answer(1.0))},
        [{"t": GIVEN}, {"t": "mine"}, {}],
        sent,
        api={"headers": {"TraceParent": "{t?}"}},
    )
    results = await scenario.play()
    by_body = {body: value for value, body in sent}
    assert by_body.pop(b'{"t":"mine"}') == "mine"
    own = by_body.pop(b"{}")
    assert list(by_body.values()) == [GIVEN]
    traces = [result["a"].trace for result in results]
    assert traces[:2] == ["4bf92f3577b34da6a3ce929d0e0e4736", ""]
    assert traces[2] == ids([(own, b"")])[0][0]


async def test_hedges_and_fallbacks_belong_to_the_trace(autojump_clock: object) -> None:
    """Whichever request made the outcome."""
    sent: Sent = []
    scenario = play(
        {"a": answers(Answer(1.0, failure=REFUSED)), "b": answers(Answer(1.0))},
        [1],
        sent,
        each={"a": {"retries": 0}, "b": {"fallback_of": "a"}},
    )
    (result,) = await scenario.play()
    assert result["a"].via == "b"
    assert {trace for trace, _ in ids(sent)} == {result["a"].trace}
    assert len(sent) == 2
    sent.clear()
    slow = lambda value, attempt: Answer(9.0 if value == 50 and attempt == 1 else 0.1)  # noqa: E731
    hedged = play(
        {"a": slow}, list(range(60)), sent, api={"hedge": "1s", "method": "PUT", "limit": 5}
    )
    results = await hedged.play()
    own = [each for each, (_, body) in zip(ids(sent), sent) if body == b"50"]
    assert len(own) == len({parent for _, parent in own}) == 2
    assert {trace for trace, _ in own} == {results[50]["a"].trace}


async def test_trace_of_the_api_stays_where_its_fallback_has_none(autojump_clock: object) -> None:
    """The record can be found by it."""
    sent: Sent = []
    scenario = play(
        {"a": answers(Answer(1.0, failure=REFUSED)), "b": answers(Answer(1.0))},
        [1],
        sent,
        each={"a": {"retries": 0}, "b": {"fallback_of": "a", "traceparent": False}},
    )
    (result,) = await scenario.play()
    assert result["a"].trace == ids(sent[:1])[0][0]


async def test_batch_is_a_trace_of_its_own(autojump_clock: object) -> None:
    """All of its attempts are in it, and the outcomes of its records name it."""
    sent: Sent = []

    def echo(value: Any, attempt: int) -> Answer:
        return Answer(1.0, 503 if attempt == 1 else 200, body=b"[7,7]")

    scenario = play({"a": echo}, [1, 2, 3, 4], sent, api={"batch": {"size": 2}})
    results = await scenario.play()
    traces = [result["a"].trace for result in results]
    assert traces[0] == traces[1] != traces[2] == traces[3]
    assert [trace for trace, _ in ids(sent)].count(traces[0]) == 2
    assert len({parent for _, parent in ids(sent)}) == 4


async def test_call_that_was_not_sent_has_none(autojump_clock: object) -> None:
    """Nobody else has heard of such a trace."""
    sent: Sent = []
    scenario = play({"a": answers(Answer(1.0))}, [1], sent, api={"when": "missing == 'x'"})
    (result,) = await scenario.play()
    assert (sent, result["a"].trace) == ([], "")


async def test_call_that_is_cut_short_has_its_trace(autojump_clock: object) -> None:
    """Its request may have been applied."""
    sent: Sent = []
    scenario = play({"a": answers(Answer(99.0))}, [1], sent, deadline=1.0)
    (result,) = await scenario.play()
    assert result["a"].trace == ids(sent)[0][0]

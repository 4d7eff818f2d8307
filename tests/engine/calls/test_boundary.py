"""An unforeseen exception costs the call or the record that causes it, and nothing else.

Each processing step is made to raise, for one record of many.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from support.builds import replaces_functions
from support.loopback import Loopback
from support.scripted import Answer, Scenario, ScriptedTransport, TasklessScripted

from tmux_fanout import Api, fanout
from tmux_fanout.core import json_text
from tmux_fanout.core.boundary import internal_error
from tmux_fanout.core.ending import Ending
from tmux_fanout.core.records import parser as parsing
from tmux_fanout.core.records.parser import RecordParser
from tmux_fanout.core.requests.batch import BatchPlan
from tmux_fanout.core.requests.response_reader import ResponseReader
from tmux_fanout.core.results.containment import encode_lines
from tmux_fanout.core.results.envelope import body_encoder, envelope_encoder, merge_encoder
from tmux_fanout.core.results.outcome import Outcome, Result
from tmux_fanout.engine.calls import endpoints, payloads
from tmux_fanout.engine.calls.outcomes.retrier import Retrier
from tmux_fanout.engine.io.iterables import record_of
from tmux_fanout.transports.native import NativeTransport, transport
from tmux_fanout.transports.native.parser import ResponseParser

BAD = 3  # the record that makes a step raise
COUNT = 8
SECRET = "hunter2"
HEADERS = ((b"retry-after", b"1"),)


class Unforeseen(Exception):
    """An exception that no code expects, and whose text must never be shown."""


def raising(step: Callable[..., Any], is_bad: Callable[[tuple[Any, ...]], bool]) -> Any:
    """Return a step that raises if its arguments are bad."""

    def unsure(*args: Any, **options: Any) -> Any:
        if is_bad(args):
            raise Unforeseen(SECRET)
        return step(*args, **options)

    return unsure


def mentions(*words: bytes) -> Callable[[tuple[Any, ...]], bool]:
    """Return a test for arguments that contain one of these words."""

    def look(args: tuple[Any, ...]) -> bool:
        return any(word in repr_of(arg) for arg in args for word in words)

    return look


def repr_of(value: Any) -> bytes:
    """Return a value as text, or the body, record or request that it holds."""
    if isinstance(value, list):
        return b"".join(map(repr_of, value))
    for name in ("body", "json", "request", "pending", "record"):
        if (part := getattr(value, name, None)) is not None:
            return repr_of(part)
    return repr(value).encode()


BAD_BODY = mentions(b"{'n': %d}" % BAD, b'{"n":%d}' % BAD)

TWO_SERVERS = {
    "url": "/",
    "endpoints": ["http://a.test", "http://b.test"],
    "balance": "round-robin",
}

# Steps that only one kind of transport has.
ONLY: dict[str, Any] = {"sending": ScriptedTransport, "beginning to send": TasklessScripted}

_STEPS: list[tuple[str, Any, str, dict[str, Any], int]] = [
    ("a record into a request", payloads.Payloads, "prepare", {}, 0),
    ("what comes before", payloads, "results_of", {"after": True}, 0),
    ("a key", BatchPlan, "key_of", {"api": {"batch": {"size": 4, "key": "n"}}}, 0),
    ("a request to an endpoint", endpoints.Endpoints, "route", {"api": TWO_SERVERS}, 1),
    ("sending", ScriptedTransport, "play", {}, 1),
    ("beginning to send", TasklessScripted, "begin", {}, 1),
    ("a pause", endpoints, "pause_of", {"status": 503}, 1),
    ("a retry", Retrier, "decide", {"status": 500}, 1),
    ("a response into a body", ResponseReader, "content", {}, 1),
    ("headers", ResponseReader, "captured", {}, 1),
]
COMPILED = ("a record into a request", "a request to an endpoint")
STEPS = [
    pytest.param(
        transport,
        *step,
        id=f"{what}-{transport.__name__}",
        marks=[replaces_functions] if what in COMPILED else [],
    )
    for transport in (ScriptedTransport, TasklessScripted)
    for what, *step in _STEPS
    if what not in ONLY or ONLY[what] is transport
]


@pytest.mark.parametrize(("transport", "owner", "name", "how", "attempts"), STEPS)
async def test_unforeseen_exception_costs_one_call(
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    transport: type[ScriptedTransport],
    owner: Any,
    name: str,
    how: dict[str, Any],
    attempts: int,
) -> None:
    """The error is `internal` and names the type, not the text; other calls are not affected."""
    each = {"y": {"after": ["x"]}} if "after" in how else {}
    status = how.get("status", 200)

    def script(value: Any, attempt: int) -> Answer:
        is_bad = value == {"n": BAD}
        return Answer(0.1, status if is_bad and attempt == 1 else 200, headers=HEADERS)

    names = ["x", *each]
    values = [{"n": n} for n in range(COUNT)]
    scenario = Scenario(
        dict.fromkeys(names, script),
        values,
        api=how.get("api", {}),
        each=each,
        transport=transport,
        limit=2,
        retries=2,
    )
    monkeypatch.setattr(owner, name, raising(getattr(owner, name), BAD_BODY))
    results = await scenario.play()
    assert [result.index for result in results] == list(range(COUNT))
    assert scenario.run.ending is Ending.FINISHED
    assert [result.ok for result in results] == [n != BAD for n in range(COUNT)]
    (failed,) = (outcome for outcome in results[BAD].outcomes if not outcome.ok)
    assert failed.error
    assert failed.error.kind == "internal"
    assert "Unforeseen" in failed.error.message
    assert SECRET not in failed.error.message + failed.error.trace
    assert "report it" in failed.error.message
    assert "test_boundary.py" in failed.error.trace
    assert failed.attempts == attempts
    assert scenario.run.statistics.errors == {"internal": 1}
    assert all(each.in_flight == 0 for each in scenario.transports.values())
    assert all(api.in_flight == 0 for api in scenario.run.statistics.apis)


@replaces_functions
async def test_unforeseen_exception_in_the_native_transport_costs_one_call(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With or without a task, the connection is closed and other calls are not affected."""
    is_bad = mentions(b"bad")
    for owner, name in (
        (ResponseParser, "feed"),
        (transport, "decoded"),
        (NativeTransport, "_wire"),
    ):
        for bad in (0, 4):  # the first makes the connection in a task, others need none
            records = [{"n": n, "t": "bad" if n == bad else ""} for n in range(COUNT)]
            with monkeypatch.context() as patched:
                patched.setattr(owner, name, raising(getattr(owner, name), is_bad))
                apis = [Api("x", server.url(), limit=1)]
                async with fanout(records, apis, timeout=20) as results:
                    found = [result async for result in results]
            assert [result.ok for result in found] == [n != bad for n in range(COUNT)]
            error = found[bad]["x"].error
            assert error
            assert error.kind == "internal"


@pytest.mark.parametrize("deadline", [None, 2.0])
async def test_unforeseen_exception_beside_a_cancellation_costs_one_call(
    autojump_clock: trio.testing.MockClock, deadline: float | None
) -> None:
    """A time limit cancels a nursery of the transport, and one of its tasks fails then."""

    class Grouping(ScriptedTransport):
        async def send(self, request: Any, progress: Any) -> Any:
            if request.body != b'{"n":3}':
                return await super().send(request, progress)

            async def fail() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    raise Unforeseen(SECRET)

            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(fail)
                return await trio.sleep_forever()

    scenario = Scenario(
        {"x": lambda value, attempt: Answer(0.1)},
        [{"n": n} for n in range(COUNT)],
        api={"attempt_timeout": 1.0 if deadline is None else 30.0},
        transport=Grouping,
        retries=0,
        deadline=deadline,
    )
    results = await scenario.play()
    assert [result.ok for result in results] == [n != BAD for n in range(COUNT)]
    assert scenario.errors("x")[BAD] == ("internal" if deadline is None else "deadline")


async def test_unforeseen_exception_over_a_batch_costs_the_batch(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record of the batch gets an item, since none can be assigned."""
    monkeypatch.setattr(BatchPlan, "answers", raising(BatchPlan.answers, BAD_BODY))
    monkeypatch.setattr(BatchPlan, "request", raising(BatchPlan.request, mentions(b'"n":6')))
    scenario = Scenario(
        {"x": lambda value, attempt: Answer(0.1)},
        [{"n": n} for n in range(COUNT)],
        api={"batch": {"size": 2}},
        limit=1,
    )
    results = await scenario.play()
    assert [result.ok for result in results] == [True, True, False, False, True, True, False, False]
    assert scenario.errors("x")[BAD] == "internal"
    assert scenario.errors("x")[6] == "internal"


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
async def test_what_must_end_a_run_ends_it(
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    """The boundary lets exceptions pass that concern the whole process."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ResponseReader, "content", fail)
    with pytest.RaisesGroup(error, flatten_subgroups=True):
        await Scenario({"x": lambda value, attempt: Answer()}, [1]).play()


def test_memory_error_in_a_group_passes() -> None:
    """The depth in the group does not matter."""
    group = ExceptionGroup("", [ValueError(), ExceptionGroup("", [MemoryError()])])
    with pytest.raises(ExceptionGroup):
        internal_error(group)
    assert "ValueError" in internal_error(ExceptionGroup("", [ValueError("x")])).message


@pytest.mark.parametrize("encoder", [envelope_encoder, merge_encoder, body_encoder])
def test_result_that_cannot_be_encoded_is_a_line_and_not_ok(encoder: Any) -> None:
    """The line holds the error and the record as read, and the result counts as failed."""
    result = Result(record_of(5, b'{"a": 1}'), ("x",), (Outcome(True, 200, attempts=1),))
    encode = encoder(["x"])
    fine = Result(record_of(6, b'{"a": 2}'), ("x",), (Outcome(True, 200, attempts=1),))
    unsure = raising(encode, lambda args: args[0].index == 5 and args[0].error is None)
    line, other = encode_lines(unsure, [result, fine])
    assert other == encode(fine)
    assert line.endswith(b"\n")
    assert not result.ok
    assert result.first_error
    assert result.first_error.kind == "internal"
    value = json.loads(line)
    if encoder is envelope_encoder:
        assert value["index"] == 5
        assert value["raw"] == '{"a": 1}'
        assert value["error"]["kind"] == "internal"
    elif encoder is merge_encoder:
        assert value["_errors"]["record"]["kind"] == "internal"
    else:
        assert value is None


def test_outcome_that_cannot_be_encoded_leaves_the_record_as_it_was() -> None:
    """A run with such a line can be resumed, and its output verified."""
    outcomes = (Outcome(True, 200, attempts=1), Outcome(True, 201, attempts=2))
    result = Result(record_of(5, b'{"a": 1}'), ("x", "y"), outcomes)
    unsure = raising(envelope_encoder(["x", "y"]), lambda args: args[0].ok)
    (line,) = encode_lines(unsure, [result])
    assert line.startswith(b'{"index":5,"record":{"a": 1},"ok":false,"results":{"x":{"ok":false,')
    assert [each["error"]["kind"] for each in json.loads(line)["results"].values()] == [
        "internal"
    ] * 2
    assert result.first_error
    assert result.first_error.kind == "internal"


def test_line_that_cannot_be_parsed_is_a_record_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line keeps its index, and so do the lines after it."""
    parser = RecordParser("jsonl", 100)
    check = raising(json_text.check_record, mentions(b"2"))
    monkeypatch.setattr(parsing, "check_record", check)
    first, second, third = parser.parse([b"1", b"2", b"3"])
    assert (first.error, third.error) == (None, None)
    assert second.error
    assert (second.index, second.raw, second.error.kind) == (1, b"2", "internal")


def test_value_that_cannot_be_encoded_is_a_record_all_the_same() -> None:
    """A user's object may raise anything; a lone surrogate takes the encoder's slow path."""

    class Odd(dict[str, str]):
        def items(self) -> Any:
            raise Unforeseen(SECRET)

    record = record_of(4, Odd(a="\ud800"))
    assert record.error
    assert (record.index, record.json, record.error.kind) == (4, b"", "internal")
    assert SECRET not in record.error.message + record.error.trace

"""Jobs that are submitted, and asked for until they are done, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario
from support.series import Asked, Server, Serving, says, script_of

from tmux_fanout.core.ending import Ending
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.report.waits import describe_wait

POLL = {"url": "/jobs/{_submitted.id}", "until": "status == 'done'"}


def scenario(
    server: Server, records: Sequence[Any] = ({"n": 1},), api: Any = None, **keys: Any
) -> Scenario:
    """Return a run with the API at /jobs, whose polls have these keys beside the usual ones."""
    settings = {"url": "http://api.test/jobs", "poll": {**POLL, **keys}, **(api or {})}
    return Scenario({"a": script_of(server)}, records, api=settings, transport=Serving)


def transport_of(played: Scenario) -> Serving:
    transport = played.transports["a"]
    assert isinstance(transport, Serving)
    return transport


def done_after(polls: int) -> Server:
    """Return a server whose jobs are done at this poll."""

    def server(asked: Asked) -> Answer:
        if asked.method == "POST":
            return says({"id": f"j{asked.value['n']}"}, 202)
        if asked.time < polls:
            return says({"status": "running"})
        return says({"status": "done", "of": asked.path})

    return server


def error_of(played: Scenario) -> ErrorInfo:
    error = played.sink.results[0]["a"].error
    assert error is not None
    return error


async def test_the_last_answer_is_the_body(autojump_clock: object) -> None:
    """The job is submitted once, and asked for every 2 s until it is done."""
    played = scenario(done_after(3))
    [result] = await played.play()
    assert result["a"].body == {"status": "done", "of": "/jobs/j1"}
    assert (result["a"].status, result["a"].attempts) == (200, 4)
    assert transport_of(played).lines == ["POST /jobs", *["GET /jobs/j1"] * 3]
    times = [time for time, _ in transport_of(played).sent_at]
    assert times == pytest.approx([0.0, 2.1, 4.2, 6.3])
    assert result["a"].seconds == pytest.approx(6.4)


async def test_no_slot_is_held_between_polls(autojump_clock: object) -> None:
    """With one slot, ten jobs run at the same time."""
    played = scenario(done_after(2), [{"n": n} for n in range(10)], {"limit": 1}, every="5s")
    results = await played.play()
    assert all(result.ok for result in results)
    assert transport_of(played).peak == 1
    assert transport_of(played).lines[:10] == ["POST /jobs"] * 10
    assert trio.current_time() < 15


async def test_polls_carry_the_headers_but_no_content(autojump_clock: object) -> None:
    """Credentials and templates are those of the submission, whose body and key are left out."""
    headers = {"Authorization": "Bearer t", "X-N": "{n}"}
    api = {"headers": headers, "idempotency_key": True}
    played = scenario(done_after(1), api=api)
    await played.play()
    submission, poll = transport_of(played).asked
    assert (poll.headers["authorization"], poll.headers["x-n"]) == ("Bearer t", "1")
    assert {"content-type", "idempotency-key"} <= submission.headers.keys()
    assert not {"content-type", "idempotency-key"} & poll.headers.keys()
    assert poll.value is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/of/{n}/{_submitted.deep.id}{?v}", "/of/1/a%2Fb?v=2"),
        ("{+_submitted.at}", "/at?x=1&y=2"),
        ("{+_submitted.whole}", "/whole"),
        ("{+_submitted.relative}", "/v1/sub/5"),
        ("{+_headers.operation-location}", "/op/1?api-version=3"),
        ("http://api.test/x/{_submitted.n}", "/x/7"),
    ],
)
async def test_urls_of_polls(autojump_clock: object, url: str, expected: str) -> None:
    """They come from the record, the answer's body and its headers, encoded as in any URL."""
    body = {
        "deep": {"id": "a/b"},
        "at": "/at?x=1&y=2",
        "whole": "http://API.test:80/whole",
        "relative": "sub/5",
        "n": 7,
    }

    def server(asked: Asked) -> Answer:
        if asked.method == "POST":
            return says(body, operation_location="http://api.test/op/1?api-version=3")
        return says({"status": "done"})

    api = {"url": "http://api.test/v1/jobs"}
    played = scenario(server, [{"n": 1, "v": 2, "_submitted": {"n": 8}}], api, url=url)
    [result] = await played.play()
    assert result.ok
    assert transport_of(played).lines[1] == f"GET {expected}"


async def test_a_base_path_holds_for_polls(autojump_clock: object) -> None:
    """A path is relative to the endpoint, as that of the API is."""
    api = {"url": "/jobs", "endpoints": ["http://api.test/base"]}
    played = scenario(done_after(1), api=api)
    await played.play()
    assert transport_of(played).lines == ["POST /base/jobs", "GET /base/jobs/j1"]


@pytest.mark.parametrize(
    ("keys", "answer", "kind", "message"),
    [
        ({}, {}, "decode", "submitted: poll.url: there is no field _submitted.id: _submitted has"),
        ({}, {"id": None}, "decode", "submitted: poll.url: there is no field _submitted.id: it is"),
        ({}, {"id": {}}, "decode", "submitted: poll.url: "),
        (
            {"url": "/jobs/{id}"},
            {"id": "j1"},
            "decode",
            "submitted: poll.url: the record has no field id; for a field of the answer to the "
            "submission, write {_submitted.id}",
        ),
        ({}, {"id": ".."}, "decode", "submitted: poll.url: the record would add a path segment"),
        (
            {"url": "{+_submitted.id}"},
            {"id": "http://evil.test/"},
            "protocol",
            "submitted: poll.url: a URL to another origin is not fetched",
        ),
    ],
)
async def test_a_job_without_a_url_fails(
    autojump_clock: object, keys: Any, answer: Any, kind: str, message: str
) -> None:
    """It has been submitted, so that it may be applied."""
    played = scenario(lambda asked: says(answer), **keys)
    await played.play()
    error = error_of(played)
    assert error.kind == kind
    assert error.message.startswith(message)
    assert error.ambiguous
    assert len(transport_of(played).lines) == 1


async def test_a_failed_job_is_rejected(autojump_clock: object) -> None:
    """What `failed` says is certain, so it is not ambiguous."""

    def server(asked: Asked) -> Answer:
        if asked.method == "POST":
            return says({"id": 5})
        return says({"status": "failed", "why": "bad"} if asked.time == 2 else {"status": "new"})

    played = scenario(server, failed="status == 'failed'")
    [result] = await played.play()
    error = error_of(played)
    assert (error.kind, error.ambiguous) == ("rejected", False)
    assert error.message == (
        'poll 2: poll.failed "status == \'failed\'" is true of {"status":"failed","why":"bad"}'
    )
    assert result["a"].body == {"status": "failed", "why": "bad"}


async def test_max_ends_the_polling(autojump_clock: object) -> None:
    """No poll begins after it; the message names it, and what was said last."""
    played = scenario(done_after(99), max="9s")
    [result] = await played.play()
    error = error_of(played)
    assert (error.kind, error.ambiguous, result["a"].attempts) == ("timeout", True, 5)
    assert error.message == (
        "poll 4: the job is not done within poll.max = 9s: until \"status == 'done'\" is not true; "
        'the last answer is {"status":"running"}'
    )
    assert result["a"].body == {"status": "running"}


async def test_retry_after_of_a_poll_is_honoured(autojump_clock: object) -> None:
    """It makes the time to the next poll longer, never shorter."""

    def server(asked: Asked) -> Answer:
        if asked.method == "POST":
            return says({"id": 1}, 202, retry_after="5")
        if asked.time == 3:
            return says({"status": "done"})
        return says({"status": "new"}, retry_after="1" if asked.time == 1 else "7")

    played = scenario(server)
    await played.play()
    times = [time for time, _ in transport_of(played).sent_at]
    assert times == pytest.approx([0.0, 5.1, 7.2, 14.3])


async def test_a_poll_that_fails_is_repeated_and_not_the_submission(
    autojump_clock: object,
) -> None:
    """Even a 500 or a lost connection, since a GET may be sent twice."""

    def server(asked: Asked) -> Answer:
        if asked.method == "POST":
            return says({"id": 1})
        if asked.time == 1:
            return Answer(0.1, 500)
        if asked.time == 2:
            failure = TransportError("protocol", "lost", sent=True, transient=True)
            return Answer(0.1, failure=failure)
        return says({"status": "done"} if asked.time == 4 else {"status": "new"})

    played = scenario(server)
    [result] = await played.play()
    assert result.ok
    assert result["a"].attempts == 5
    assert transport_of(played).lines.count("POST /jobs") == 1


async def test_a_poll_that_goes_on_failing_fails_the_call(autojump_clock: object) -> None:
    """The job may be done all the same."""

    def server(asked: Asked) -> Answer:
        return says({"id": 1}) if asked.method == "POST" else says("no", 500)

    played = scenario(server)
    [result] = await played.play()
    error = error_of(played)
    assert (error.kind, error.ambiguous) == ("status", True)
    assert error.message == "poll 1: HTTP 500 after 3 attempts"
    assert (result["a"].status, result["a"].attempts) == (500, 4)


async def test_refused_polls_end_at_max(autojump_clock: object) -> None:
    """A server that only ever asks to wait is not asked for longer than `max`."""

    def server(asked: Asked) -> Answer:
        return says({"id": 1}) if asked.method == "POST" else says(None, 503, retry_after="4")

    played = scenario(server, max="20s", api={"breaker": False, "retries": 50})
    await played.play()
    error = error_of(played)
    assert error.kind in ("timeout", "status")
    assert trio.current_time() < 60


async def test_a_submission_that_fails_is_as_any_call(autojump_clock: object) -> None:
    """A POST is not repeated after a 500, and the message is the usual one."""
    played = scenario(lambda asked: says("no", 500))
    await played.play()
    error = error_of(played)
    assert error.message.startswith("HTTP 500; not retried, as the POST may have been applied")
    assert len(transport_of(played).lines) == 1


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        (1.0, "poll 1: the run's deadline of 1s passed before attempt 2"),
        (2.15, "poll 1: the run's deadline of 2.15s passed during attempt 2"),
    ],
)
async def test_a_deadline_ends_the_wait(autojump_clock: object, stop: float, message: str) -> None:
    """Between two polls and during one; the job may be done all the same."""
    played = Scenario(
        {"a": script_of(done_after(9))},
        [{"n": 1}],
        api={"url": "http://api.test/jobs", "poll": POLL},
        transport=Serving,
        deadline=stop,
    )
    await played.play()
    error = error_of(played)
    assert (error.kind, error.message, error.ambiguous) == ("deadline", message, True)
    assert trio.current_time() == pytest.approx(stop)
    assert (played.run.window.records, played.run.window.bytes) == (0, 0)


async def test_a_lost_call_stops_polling(autojump_clock: object) -> None:
    """Once a sibling has won, nobody asks for the job any more."""
    played = Scenario(
        {"a": script_of(done_after(9)), "b": script_of(lambda asked: says("quick", after=3.0))},
        [{"n": 1}],
        each={"a": {"url": "http://api.test/jobs", "poll": POLL}},
        transport=Serving,
        join="first",
    )
    [result] = await played.play()
    assert result["b"].ok
    assert played.errors("a") == ["lost"]
    assert transport_of(played).lines == ["POST /jobs", "GET /jobs/j1"]
    assert trio.current_time() == pytest.approx(3.0)


async def test_a_drained_run_waits_for_its_jobs(autojump_clock: object) -> None:
    """A first signal stops reading; jobs that were submitted are still asked for."""
    played = scenario(done_after(3), [{"n": n} for n in range(3)])

    async def stop() -> None:
        await trio.sleep(1.0)
        played.run.drain(Ending.SIGINT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        results = await played.play()
    assert all(result.ok for result in results)


@pytest.mark.parametrize("answer", [says("x"), Answer(0.1, body=b"<html>")])
async def test_a_poll_that_no_rule_fits_fails(autojump_clock: object, answer: Answer) -> None:
    """A body that is not JSON, or on which `until` fails, is kind `decode`."""

    def server(asked: Asked) -> Answer:
        return says({"id": 1}) if asked.method == "POST" else answer

    played = scenario(server, until="length(status) > `0`")
    await played.play()
    assert error_of(played).kind == "decode"
    assert error_of(played).message.startswith("poll 1: ")


async def test_polls_cost_nothing(autojump_clock: object) -> None:
    """Units and money are spent by the submission alone, and are useful if the job is."""
    api = {
        "cost": "`10`",
        "price": {"input": "1/1", "call": "3"},
        "rate": {"tokens": "10/s"},
    }
    played = scenario(done_after(3), [{"n": 1}, {"n": 2}], api)
    await played.play()
    spending = played.run.statistics.apis[0].spending
    assert spending.useful.calls == 2
    assert spending.useful.input == 20
    assert spending.retried.calls == 0


async def test_pages_cost_what_they_are(autojump_clock: object) -> None:
    """Each page is paid for, and none of them counts as a retry."""

    def server(asked: Asked) -> Answer:
        return says([1], link="</?p=2>; rel=next") if not asked.query else says([2])

    api = {"url": "http://api.test/", "method": "GET", "pages": {"next": "link"}}
    played = Scenario(
        {"a": script_of(server)},
        [1, 2],
        api={**api, "cost": "`10`", "price": {"call": "3"}},
        transport=Serving,
    )
    await played.play()
    spending = played.run.statistics.apis[0].spending
    assert (spending.useful.calls, spending.useful.input, spending.retried.calls) == (4, 40, 0)


async def test_jobs_that_are_paid_for_are_waited_for(autojump_clock: object) -> None:
    """With money for two jobs, both are done before the run ends, and the third is not sent."""
    played = Scenario(
        {"a": script_of(done_after(3))},
        [{"n": n} for n in range(3)],
        api={"url": "http://api.test/jobs", "poll": POLL, "price": {"call": "1"}},
        transport=Serving,
        max_cost=2,
    )
    results = await played.play()
    assert [result.ok for result in results] == [True, True, False]
    assert transport_of(played).lines.count("POST /jobs") == 2
    assert played.run.ending is Ending.COST_LIMIT


async def test_the_end_of_a_lost_job_ends_a_run_without_money(autojump_clock: object) -> None:
    """A sibling wins while the only job sleeps, and a record that nobody can pay for waits."""
    played = Scenario(
        {"a": script_of(done_after(99)), "b": script_of(lambda asked: says("b", after=3.0))},
        [{"n": 1}, {"n": 2}],
        each={
            "a": {"url": "http://api.test/jobs", "poll": POLL, "price": {"call": "1"}},
            "b": {"when": "n == `1`"},
        },
        transport=Serving,
        join="first",
        max_cost=1,
    )
    with trio.move_on_after(60):
        await played.play()
        assert trio.current_time() == pytest.approx(3.0)
        return
    raise AssertionError("the run did not end")


async def test_deep_records_have_pages_and_jobs(autojump_clock: object) -> None:
    """What no expression can look into is sent and followed all the same, or fails as it must."""
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    paged = {"url": "http://api.test/", "pages": {"next": "link"}}
    played = Scenario(
        {"a": script_of(lambda asked: says([]))}, [deep], api=paged, transport=Serving
    )
    await played.play()
    assert played.errors("a") == [None]
    played = scenario(lambda asked: says({"id": 1, "status": "done"}), [deep])
    await played.play()
    assert played.errors("a") in ([None], ["decode"])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"until": "body.status == 'done'"},
            "poll.until \"body.status == 'done'\": the first poll has no field body.status; the "
            "expression sees the body itself: write status == 'done'",
        ),
        (
            {"until": "status == done"},
            "poll.until 'status == done': the first poll has no field done; for text, write "
            "status == 'done'",
        ),
        (
            {"until": "state == 'done'"},
            "poll.until \"state == 'done'\": the first poll has no field state",
        ),
        (
            {"failed": "body.error"},
            "poll.failed 'body.error': the first poll has no field body.error; the expression sees "
            "the body itself: write error",
        ),
        ({"until": "result"}, None),
        ({"failed": "error == 'x'"}, None),
        ({}, None),
    ],
)
async def test_a_misspelt_end_is_said_at_the_first_poll(
    autojump_clock: object, keys: dict[str, str], expected: str | None
) -> None:
    """Once, rather than by each call after `max`; what may come with the end is no mistake."""
    notices: list[str] = []
    played = Scenario(
        {"a": script_of(done_after(4))},
        [{"n": 1}, {"n": 2}],
        api={"url": "http://api.test/jobs", "poll": {**POLL, "max": "10s", **keys}},
        transport=Serving,
        notify=notices.append,
    )
    await played.play()
    assert notices == ([f"a: {expected}"] if expected else [])


async def test_calls_between_polls_wait_for_the_next_one(autojump_clock: object) -> None:
    """The live display and the head of the line say so, and speak of no retry."""
    played = scenario(done_after(4), [{"n": 1}, {"n": 2}], every="5s")
    seen: list[tuple[str, list[str]]] = []

    async def look() -> None:
        for at in (0.05, 3.1):
            await trio.sleep_until(at)
            [wait] = played.run.waits()
            head = played.run.head()
            assert head
            seen.append((head.calls, describe_wait(wait) if wait else []))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await played.play()
    assert seen == [
        ("a: attempt 1 is under way", []),
        ("a: waits for its next poll", ["2 jobs wait for the next poll", "next in 2 s"]),
    ]

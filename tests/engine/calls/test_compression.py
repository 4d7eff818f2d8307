"""Compressed bodies of requests, and APIs that do not read them, in virtual time."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
import trio
from support.hosts import HostTransport, urls
from support.scripted import Answer, Scenario, Script, ScriptedTransport, TasklessScripted, answers
from support.witness import check_nothing_is_held

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.requests.compression import gzip
from tmux_fanout.engine.calls.compression import compression
from tmux_fanout.transports.base import Progress

KINDS = [ScriptedTransport, TasklessScripted]
LARGE = "x" * 2000
LOST = TransportError("connect", "refused", sent=False, transient=True)
OK = answers(Answer(1))

Sent = list[tuple[str, int]]


def reading(kind: type[ScriptedTransport], sent: Sent, *, gzip: bool, media: bool = True) -> Any:
    """Return what makes a transport to an API that reads gzip, or not, or nothing at all.

    It keeps the coding and the size of each body that is sent.
    """

    class Reading(kind):  # type: ignore[misc,valid-type]  # a class that is a parameter
        async def play(self, request: Request, progress: Progress) -> Response:
            body, headers = request.content, dict(request.head.headers)
            coding = headers.get("Content-Encoding", "")
            sent.append((coding, len(body)))
            if coding:
                body = zlib.decompress(body, 31)
            elif len(body) >= 1024 and not gzip:
                assert "gzip" not in headers.values()
            response = await super().play(Request(request.head, body), progress)
            if (coding and not gzip) or not media:
                return Response(415, (), b"", 0)
            return response  # type: ignore[no-any-return]  # as above

    return Reading


def play(
    script: Script, values: list[Any], sent: Sent, kind: type[ScriptedTransport], **more: Any
) -> Scenario:
    api = {"compress": "gzip", **more.pop("api", {})}
    how = {"gzip": more.pop("gzip", True), "media": more.pop("media", True)}
    return Scenario({"a": script}, values, transport=reading(kind, sent, **how), api=api, **more)


@pytest.mark.parametrize("kind", KINDS)
async def test_large_bodies_are_compressed(
    autojump_clock: object, kind: type[ScriptedTransport]
) -> None:
    """Small ones are sent as they are, and the statistics count what is sent."""
    sent: Sent = []
    scenario = play(OK, [LARGE, "small", "y" * 1022, "y" * 1021], sent, kind, limit=1)
    results = await scenario.play()
    assert [result["a"].status for result in results] == [200] * 4
    assert [coding for coding, _ in sent] == ["gzip", "", "gzip", ""]
    assert sent[0][1] < 100
    assert scenario.run.statistics.apis[0].bytes_sent == sum(size for _, size in sent)


@pytest.mark.parametrize("kind", KINDS)
async def test_retries_compress_once(
    autojump_clock: object, kind: type[ScriptedTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the body is, and at several endpoints."""
    compressed: list[bytes] = []

    def compress(body: bytes) -> bytes:
        compressed.append(body)
        return gzip.compress(body)

    monkeypatch.setattr(compression, "compress", compress)
    monkeypatch.setattr(compression, "_MAX_AT_ONCE", 1 << 30)
    sent: Sent = []
    script = answers(Answer(failure=LOST), Answer(status=503), Answer(1))
    values = [{"n": n, "text": "".join(map(chr, range(300, 9000)))} for n in range(3)]
    keys = {"body": "[n, text]", "url": "/x", "endpoints": ["http://a.test", "http://b.test"]}
    scenario = play(script, values, sent, kind, api=keys, retries=5)
    results = await scenario.play()
    assert [result["a"].status for result in results] == [200] * 3
    assert [coding for coding, _ in sent] == ["gzip"] * 9
    assert len(compressed) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_coding_is_given_up(
    autojump_clock: object, kind: type[ScriptedTransport]
) -> None:
    """The calls are sent again as they are, as one attempt each, and it is said once."""
    sent: Sent = []
    lines: list[str] = []
    scenario = play(
        OK, [LARGE] * 8, sent, kind, gzip=False, notify=lines.append, limit=2, retries=0
    )
    results = await scenario.play()
    assert [result["a"].status for result in results] == [200] * 8
    assert [result["a"].attempts for result in results] == [1] * 8
    assert lines == [
        "a does not accept compressed bodies (HTTP 415): they are sent uncompressed from now on"
    ]
    assert [coding for coding, _ in sent].count("gzip") == 2
    assert [size for coding, size in sent if not coding] == [2002] * 8
    assert scenario.run.statistics.apis[0].attempts == 8


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_media_type_is_not_taken_for_a_refused_coding(
    autojump_clock: object, kind: type[ScriptedTransport]
) -> None:
    """One call finds out, and 415 is the outcome of all."""
    sent: Sent = []
    lines: list[str] = []
    scenario = play(OK, [LARGE] * 3, sent, kind, media=False, notify=lines.append, limit=1)
    results = await scenario.play()
    assert [(result["a"].status, result["a"].attempts) for result in results] == [(415, 1)] * 3
    assert not lines
    assert [coding for coding, _ in sent] == ["gzip", "", "", "gzip"]


async def test_415_that_accepts_gzip_is_final(autojump_clock: object) -> None:
    """The answer says itself that the coding was not the reason (RFC 7694)."""
    sent: Sent = []
    script = answers(Answer(1, 415, headers=((b"accept-encoding", b"br, gzip"),)))
    results = await play(script, [LARGE], sent, ScriptedTransport).play()
    assert results[0]["a"].status == 415
    assert len(sent) == 1


async def test_calls_under_way_and_waiting_get_to_know(autojump_clock: object) -> None:
    """Those that were compressed before it was known are sent as they are when their turn comes."""
    sent: Sent = []
    script = answers(Answer(0.1, 503), Answer(0.1))
    scenario = play(script, [f"{n}{LARGE}" for n in range(6)], sent, ScriptedTransport, limit=3)
    results = await scenario.play()
    assert [result["a"].status for result in results] == [200] * 6
    late: Sent = []
    transport = reading(ScriptedTransport, late, gzip=False)
    other = Scenario(
        {"a": lambda value, attempt: Answer(float(value[0]), 503 if attempt == 1 else 200)},
        [f"{n}{LARGE}" for n in range(6)],
        transport=transport,
        api={"compress": "gzip"},
    )
    results = await other.play()
    assert [result["a"].status for result in results] == [200] * 6


@pytest.mark.parametrize(
    "headers",
    [{"Content-Encoding": "br"}, {"Content-Type": "multipart/form-data; boundary=x"}],
)
async def test_coded_and_multipart_bodies_stay_as_they_are(
    autojump_clock: object, headers: dict[str, str]
) -> None:
    """A body that is coded already is not coded twice."""
    sizes: list[int] = []

    class Counting(ScriptedTransport):
        async def play(self, request: Request, progress: Progress) -> Response:
            sizes.append(len(request.content))
            return await super().play(request, progress)

    api = {"compress": "gzip", "headers": headers}
    await Scenario({"a": OK}, [LARGE], transport=Counting, api=api).play()
    assert sizes == [2002]


async def test_batches_hedges_and_pages_are_compressed(autojump_clock: object) -> None:
    """Each kind of request is, and is sent again where that is refused."""
    for keys in (
        {"batch": {"size": 3}},
        {"hedge": "200ms", "idempotent": True},
        {"pages": {"next": "next", "param": "token"}},
        {"traceparent": True},
    ):
        for takes in (True, False):
            sent: Sent = []
            values = [{"n": n, "text": LARGE} for n in range(6)]
            scenario = play(OK, values, sent, ScriptedTransport, gzip=takes, api=keys, limit=2)
            results = await scenario.play()
            assert [result["a"].status for result in results] == [200] * 6, keys
            assert {coding for coding, _ in sent} == ({"gzip"} if takes else {"gzip", ""}), keys


async def test_time_of_a_call_bounds_both_requests(autojump_clock: object) -> None:
    """A call whose time is over with the refusal has that as its outcome."""
    sent: Sent = []
    scenario = play(
        answers(Answer(9)), [LARGE], sent, ScriptedTransport, gzip=False, timeout=10, retries=0
    )
    [result] = await scenario.play()
    assert result["a"].error is not None
    assert result["a"].error.kind == "timeout"
    assert trio.current_time() == pytest.approx(10)
    assert msgspec.json.encode(LARGE)


@pytest.mark.parametrize("takes", [True, False])
async def test_each_host_finds_out_for_itself(autojump_clock: object, takes: bool) -> None:
    """Bodies to hosts that come from records are compressed as others are."""
    sent: Sent = []
    lines: list[str] = []
    values = [{**each, "text": LARGE} for each in urls(["a.test", "b.test"], 10)]
    scenario = Scenario(
        {"page": OK},
        values,
        api={"compress": "gzip", "url": "{+url}", "hosts": ["*"], "host_limit": 2},
        transport=reading(HostTransport, sent, gzip=takes),
        notify=lines.append,
    )
    results = await scenario.play()
    assert [result["page"].status for result in results] == [200] * 20
    assert [result["page"].attempts for result in results] == [1] * 20
    assert [coding for coding, _ in sent].count("gzip") == (20 if takes else 4)
    assert len(lines) == (0 if takes else 1)
    [callers] = scenario.backends[0].callers
    check_nothing_is_held(callers)


async def test_calls_that_are_cut_short_while_they_are_repeated(autojump_clock: object) -> None:
    """The deadline of the run ends them as any other call, and nothing is left."""
    sent: Sent = []
    scenario = play(OK, [LARGE] * 5, sent, TasklessScripted, gzip=False, limit=2, deadline=1.5)
    results = await scenario.play()
    assert [result["a"].error and result["a"].error.kind for result in results] == ["deadline"] * 5
    check_nothing_is_held(scenario.backends[0].callers[0])

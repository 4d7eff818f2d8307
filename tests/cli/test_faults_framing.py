"""Malformed, truncated, oversized or unreadable responses: never ok, and always reported.

`tests/transports` checks how each transport reads them; these tests check the records' outcomes.
"""

from __future__ import annotations

import base64
from itertools import chain, repeat

import pytest
import trio
from support.codings import CAP, DECODED, REFUSED
from support.faults import SLACK, Against
from support.floods import CHUNKED, FLOODS, HEAD, LARGE_HEADS, flooding
from support.responses import BROKEN_OFF, MALFORMED, SOUND, once
from support.server import Peer, answering, response, sending

IN_TURN = ("-l", "1", "-r", "0")


@pytest.mark.parametrize("case", BROKEN_OFF)
def test_a_truncated_response_fails_its_record(against: Against, case: str) -> None:
    """A truncated response fails its record, and the next record gets a new connection."""
    ledger = against(once(BROKEN_OFF[case], then_close=True), *IN_TURN)
    assert ledger.verdicts() == ["protocol in 1", "ok in 1", "ok in 1"]
    assert ledger.server.connections == 2


@pytest.mark.parametrize("case", BROKEN_OFF)
def test_a_truncated_response_is_retried_if_safe(against: Against, case: str) -> None:
    """A truncated response is retried, except to a POST, which may have been applied."""
    script = once(BROKEN_OFF[case], then_close=True)
    assert against(script, "-l", "1").verdicts() == ["ok in 2", "ok in 1", "ok in 1"]
    posted = against(script, "-l", "1", "-X", "POST")
    assert posted.verdicts() == ["protocol in 1, ambiguous", "ok in 1", "ok in 1"]
    assert len(posted.server.requests) == 3


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_response_fails_its_record(against: Against, case: str) -> None:
    """A malformed response is not retried, and its connection is closed at once."""
    ledger = against(once(MALFORMED[case], then_close=False), "-l", "1")
    assert ledger.verdicts() == ["protocol in 1", "ok in 1", "ok in 1"]
    assert ledger.server.connections == 2


@pytest.mark.parametrize("case", FLOODS)
def test_a_response_that_does_not_end_is_capped(against: Against, case: str) -> None:
    """An endless response fails its record as too large, and the next record is ok."""
    config = f"[defaults]\nmax_response = {CAP}"
    ledger = against(flooding(*FLOODS[case]), "-l", "1", records=2, config=config)
    assert ledger.verdicts() == ["too_large in 1", "ok in 1"]


@pytest.mark.parametrize("case", LARGE_HEADS)
def test_an_oversized_head_is_refused(against: Against, case: str) -> None:
    """An oversized head is refused even if it is complete."""
    ledger = against(answering(LARGE_HEADS[case]), records=1)
    assert ledger.verdicts() == ["too_large in 1"]


@pytest.mark.parametrize("start", [HEAD + b"X: ", CHUNKED + b"1;", HEAD + b"\r\n"])
def test_a_drip_is_ended_by_the_attempt_timeout(against: Against, start: bytes) -> None:
    """A server that drips bytes extends neither the attempt's nor the call's time limit."""

    async def drip(peer: Peer) -> None:
        await peer.request()
        for byte in chain(start, repeat(ord("x"))):
            await peer.send(bytes([byte]))
            await trio.sleep(0.005)

    once_only = against(drip, "--attempt-timeout", "300ms", "-r", "0")
    assert once_only.verdicts() == ["timeout in 1"] * 3
    assert 0.3 <= once_only.slowest() < 0.3 + SLACK
    again = against(drip, "--attempt-timeout", "300ms", "--timeout", "500ms", "-r", "9")
    assert all(verdict.startswith("timeout in ") for verdict in again.verdicts())
    assert 0.3 <= again.slowest() < 0.5 + SLACK


@pytest.mark.parametrize("case", SOUND)
def test_a_valid_response_is_read_correctly(against: Against, case: str) -> None:
    """Valid framings such as 1xx, 204, 304 and HEAD are read correctly, and connections reused."""
    data, status, body, kept, method = SOUND[case]

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(data)
            if not kept:
                return

    config = '[defaults]\nok_status = ["2xx", 304]'
    ledger = against(script, *IN_TURN, "-X", method, config=config)
    assert ledger.verdicts() == ["ok in 1"] * 3
    outcomes = [(outcome["status"], outcome["body"]) for outcome in ledger.outcomes()]
    assert outcomes == [(status, body.decode())] * 3
    assert ledger.server.connections == (1 if kept else 3)


@pytest.mark.parametrize("case", DECODED)
def test_a_content_coding_is_decoded(against: Against, case: str) -> None:
    """A compressed body is decoded before it is parsed as JSON."""
    codings, body = DECODED[case]
    ledger = against(answering(response(body, f"Content-Encoding: {codings}")), "--select", "text")
    assert [outcome["body"] for outcome in ledger.outcomes()] == ["abc " * 500] * 3


@pytest.mark.parametrize("case", REFUSED)
def test_a_body_that_cannot_be_decoded_fails_its_record(against: Against, case: str) -> None:
    """A body that cannot be decoded is not retried, and the next record is ok."""
    codings, body, kind = REFUSED[case]
    answers = response(body, f"Content-Encoding: {codings}"), response(b"ok")
    config = f"[defaults]\nmax_response = {CAP}"
    ledger = against(answering(*answers), "-l", "1", config=config)
    assert ledger.verdicts() == [f"{kind} in 1", "ok in 1", "ok in 1"]
    assert ledger.server.connections == 1


BODIES = {
    "text": (b"so-so", {"body": "so-so"}),
    "empty": (b"", {"body": ""}),
    "cut json": (b'{"text": ', {"body": '{"text": '}),
    "latin-1": (b"caf\xe9", {"body": base64.b64encode(b"caf\xe9").decode(), "encoding": "base64"}),
    "nul": (b"a\0b", {"body": "a\0b"}),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_not_json_is_kept(against: Against, case: str) -> None:
    """A body that is not JSON is kept as text or base64, and fails only if it has to be JSON."""
    body, shown = BODIES[case]
    script = answering(response(body))
    for outcome in against(script).outcomes():
        assert {key: outcome.get(key) for key in shown} == shown
        assert outcome["ok"]
    selected = against(script, "--select", "text")
    assert selected.verdicts() == ["decode in 1"] * 3
    assert [outcome["status"] for outcome in selected.outcomes()] == [200] * 3


def test_a_status_sent_before_the_whole_request_is_kept(against: Against) -> None:
    """A 413 sent before the request was read is kept, even if the connection stays open."""

    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"too large", status="413 Content Too Large"))
        await peer.stream.send_eof()
        await trio.sleep_forever()

    ledger = against(refuse, "-X", "POST", records=["x" * (8 << 20)])
    assert ledger.verdicts() == ["status in 1"]
    [outcome] = ledger.outcomes()
    assert (outcome["status"], outcome["body"]) == (413, "too large")


def test_malformed_responses_affect_no_other_api(against: Against) -> None:
    """APIs with malformed responses do not affect the outcomes of a sound one."""
    scripts = {f"bad{index}": sending(data) for index, data in enumerate(MALFORMED.values())}
    ledger = against({**scripts, "good": answering(response(b"fine"))}, "-r", "0", records=20)
    assert ledger.verdicts("good") == ["ok in 1"] * 20
    for name in scripts:
        assert ledger.verdicts(name) == ["protocol in 1"] * 20

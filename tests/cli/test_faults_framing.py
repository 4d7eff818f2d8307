"""Responses that are malformed, cut short, too large or unreadable: never ok, always reported.

`tests/transports` tests the transports' results; this module tests the outcomes of records.
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
def test_a_response_that_is_cut_short_costs_its_record(against: Against, case: str) -> None:
    """A partial response is no response; the next record gets a new connection."""
    ledger = against(once(BROKEN_OFF[case], then_close=True), *IN_TURN)
    assert ledger.endings() == ["protocol in 1", "ok in 1", "ok in 1"]
    assert ledger.server.connections == 2


@pytest.mark.parametrize("case", BROKEN_OFF)
def test_a_response_that_is_cut_short_is_asked_for_again(against: Against, case: str) -> None:
    """Only if that is harmless; a POST may have been applied, and is not repeated."""
    script = once(BROKEN_OFF[case], then_close=True)
    assert against(script, "-l", "1").endings() == ["ok in 2", "ok in 1", "ok in 1"]
    posted = against(script, "-l", "1", "-X", "POST")
    assert posted.endings() == ["protocol in 1, ambiguous", "ok in 1", "ok in 1"]
    assert len(posted.server.requests) == 3


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_response_costs_its_record(against: Against, case: str) -> None:
    """There is no second attempt; the connection is dropped without waiting for more."""
    ledger = against(once(MALFORMED[case], then_close=False), "-l", "1")
    assert ledger.endings() == ["protocol in 1", "ok in 1", "ok in 1"]
    assert ledger.server.connections == 2


@pytest.mark.parametrize("case", FLOODS)
def test_a_response_that_does_not_end_is_capped(against: Against, case: str) -> None:
    """The record's error is reported, and the next record gets its response."""
    config = f"[defaults]\nmax_response = {CAP}"
    ledger = against(flooding(*FLOODS[case]), "-l", "1", records=2, config=config)
    assert ledger.endings() == ["too_large in 1", "ok in 1"]


@pytest.mark.parametrize("case", LARGE_HEADS)
def test_a_head_without_measure_is_refused(against: Against, case: str) -> None:
    """A head that is too large is refused even if it is complete."""
    ledger = against(answering(LARGE_HEADS[case]), records=1)
    assert ledger.endings() == ["too_large in 1"]


@pytest.mark.parametrize("start", [HEAD + b"X: ", CHUNKED + b"1;", HEAD + b"\r\n"])
def test_a_drip_is_ended_by_the_attempt_timeout(against: Against, start: bytes) -> None:
    """A byte now and then does not postpone any time limit, of an attempt or of a call."""

    async def drip(peer: Peer) -> None:
        await peer.request()
        for byte in chain(start, repeat(ord("x"))):
            await peer.send(bytes([byte]))
            await trio.sleep(0.005)

    once_only = against(drip, "--attempt-timeout", "300ms", "-r", "0")
    assert once_only.endings() == ["timeout in 1"] * 3
    assert 0.3 <= once_only.slowest() < 0.3 + SLACK
    again = against(drip, "--attempt-timeout", "300ms", "--timeout", "500ms", "-r", "9")
    assert all(verdict.startswith("timeout in ") for verdict in again.endings())
    assert 0.3 <= again.slowest() < 0.5 + SLACK


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_response_is_taken_for_what_it_is(against: Against, case: str) -> None:
    """1xx, 204, 304, HEAD and bodies up to the close are read correctly, on kept connections."""
    data, status, body, kept, method = SOUND[case]

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(data)
            if not kept:
                return

    config = '[defaults]\nok_status = ["2xx", 304]'
    ledger = against(script, *IN_TURN, "-X", method, config=config)
    assert ledger.endings() == ["ok in 1"] * 3
    outcomes = [(outcome["status"], outcome["body"]) for outcome in ledger.outcomes()]
    assert outcomes == [(status, body.decode() or None)] * 3
    assert ledger.server.connections == (1 if kept else 3)


@pytest.mark.parametrize("case", DECODED)
def test_a_content_coding_is_undone(against: Against, case: str) -> None:
    """The decoded content is JSON like any other."""
    codings, body = DECODED[case]
    ledger = against(answering(response(body, f"Content-Encoding: {codings}")), "--select", "text")
    assert [outcome["body"] for outcome in ledger.outcomes()] == ["abc " * 500] * 3


@pytest.mark.parametrize("case", REFUSED)
def test_a_content_coding_that_cannot_be_undone_costs_its_record(
    against: Against, case: str
) -> None:
    """Bombs, bad checksums, cut streams, unknown codings: no second attempt, the next is ok."""
    codings, body, kind = REFUSED[case]
    answers = response(body, f"Content-Encoding: {codings}"), response(b"ok")
    config = f"[defaults]\nmax_response = {CAP}"
    ledger = against(answering(*answers), "-l", "1", config=config)
    assert ledger.endings() == [f"{kind} in 1", "ok in 1", "ok in 1"]
    assert ledger.server.connections == 1


BODIES = {
    "text": (b"so-so", {"body": "so-so"}),
    "cut json": (b'{"text": ', {"body": '{"text": '}),
    "latin-1": (b"caf\xe9", {"body": base64.b64encode(b"caf\xe9").decode(), "encoding": "base64"}),
    "nul": (b"a\0b", {"body": "a\0b"}),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_not_json_is_kept(against: Against, case: str) -> None:
    """It is kept as text or base64; it is only an error if an expression needs JSON."""
    body, shown = BODIES[case]
    script = answering(response(body))
    for outcome in against(script).outcomes():
        assert {key: outcome.get(key) for key in shown} == shown
        assert outcome["ok"]
    needed = against(script, "--select", "text")
    assert needed.endings() == ["decode in 1"] * 3
    assert [outcome["status"] for outcome in needed.outcomes()] == [200] * 3


def test_a_status_while_the_body_is_still_on_its_way_is_kept(against: Against) -> None:
    """The server sends a 413, stops reading, and does not close the connection."""

    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.send(response(b"too large", status="413 Content Too Large"))
        await peer.stream.send_eof()
        await trio.sleep_forever()

    ledger = against(refuse, "-X", "POST", records=["x" * (8 << 20)])
    assert ledger.endings() == ["status in 1"]
    [outcome] = ledger.outcomes()
    assert (outcome["status"], outcome["body"]) == (413, "too large")


def test_garbage_of_one_api_is_no_matter_of_another(against: Against) -> None:
    """Malformed servers and a sound one in one run: each call has its own outcome."""
    scripts = {f"bad{index}": sending(data) for index, data in enumerate(MALFORMED.values())}
    ledger = against({**scripts, "good": answering(response(b"fine"))}, "-r", "0", records=20)
    assert ledger.endings("good") == ["ok in 1"] * 20
    for name in scripts:
        assert ledger.endings(name) == ["protocol in 1"] * 20

"""Join policies over real sockets: losers are cancelled at once, and their servers notice."""

from __future__ import annotations

import pytest
import trio
from support.certificates import Certificates
from support.faults import Against
from support.floods import CHUNKED
from support.server import Peer, Script, answering, response

OK = response(b"ok")
IN_TURN = ("-X", "POST", "-l", "1", "--attempt-timeout", "10s", "-r", "0")
LOST = "lost in 1, ambiguous"


class Contest:
    """Scripts for an API that wins every record and one that loses it.

    The loser sends `start` and then nothing. The winner answers a record once the loser has its
    request, and the next one only after the client has closed the loser's connection.
    """

    def __init__(self, start: bytes = b"") -> None:
        self._start = start
        self._begun = self._closed = self._won = 0
        self._changed = trio.Condition()

    async def loser(self, peer: Peer) -> None:
        await peer.request()
        await self._count(begun=1)
        await peer.send(self._start)
        try:
            await peer.closed()
        finally:
            with trio.CancelScope(shield=True):
                await self._count(closed=1)

    async def winner(self, peer: Peer) -> None:
        while await peer.request():
            async with self._changed:
                while not (self._begun > self._won == self._closed):
                    await self._changed.wait()
            self._won += 1
            await peer.send(OK)

    async def _count(self, begun: int = 0, closed: int = 0) -> None:
        async with self._changed:
            self._begun += begun
            self._closed += closed
            self._changed.notify_all()


@pytest.mark.parametrize("transport", ["native", "httpx"])
@pytest.mark.parametrize("start", [b"", CHUNKED + b"2\r\nab\r\n"], ids=["waiting", "reading"])
def test_the_connection_of_a_loser_is_closed(
    against: Against, transport: str, start: bytes
) -> None:
    """A loser's connection is closed before or during its response, without delaying the record."""
    contest = Contest(start)
    scripts = {"a": contest.winner, "b": contest.loser}
    ledger = against(scripts, *IN_TURN, "--join", "first", "--transport", transport)
    assert ledger.status == 0
    assert ledger.verdicts() == ["ok in 1"] * 3
    assert ledger.verdicts("b") == [LOST] * 3
    assert ledger.servers["b"].connections == 3
    assert all("a" in message for message in ledger.messages("b"))


def test_the_tls_connection_of_a_loser_is_closed(
    against: Against, certificates: Certificates
) -> None:
    """A loser's TLS connection is closed without waiting for the peer's close_notify."""
    contest = Contest()
    scripts = {"a": contest.winner, "b": contest.loser}
    tls = {"b": certificates.server()}
    ledger = against(scripts, *IN_TURN, "--join", "first", tls=tls, trust=certificates)
    assert ledger.verdicts() == ["ok in 1"] * 3
    assert ledger.verdicts("b") == [LOST] * 3


@pytest.mark.parametrize(
    ("join", "others"), [("quorum:2", {"c": answering(OK)}), ("best-effort:100ms", {})]
)
def test_other_policies_cancel_as_well(
    against: Against, join: str, others: dict[str, Script]
) -> None:
    """`quorum` and `best-effort` cancel the calls that they no longer need."""
    contest = Contest()
    scripts = {"a": contest.winner, "b": contest.loser, **others}
    ledger = against(scripts, *IN_TURN, "--join", join)
    assert ledger.status == 0
    for name in ("a", *others):
        assert ledger.verdicts(name) == ["ok in 1"] * 3
    assert ledger.verdicts("b") == [LOST] * 3


def test_a_loser_that_waits_for_a_retry_is_not_sent_again(against: Against) -> None:
    """A call that is waiting to be retried when a sibling wins is not sent again."""
    winning = trio.Event()

    async def win(peer: Peer) -> None:
        await peer.request()
        await winning.wait()
        await peer.send(OK)

    async def refuse(peer: Peer) -> None:
        await peer.request()
        refusal = response(b"no", "Retry-After: 20", "Connection: close", status="503 Unavailable")
        await peer.send(refusal)
        await peer.closed()  # the client has read the response
        winning.set()

    args = ("--join", "first", "-r", "2", "--timeout", "60s")
    ledger = against({"a": win, "b": refuse}, *args, records=1)
    assert (ledger.status, ledger.verdicts(), ledger.verdicts("b")) == (
        0,
        ["ok in 1"],
        ["lost in 1"],
    )
    assert ledger.servers["b"].connections == 1
    assert ledger.summary["seconds"] < 20

"""Join policies on real sockets: a losing call is cancelled at once, and its server notices."""

from __future__ import annotations

import pytest
import trio
from support.certificates import Certificates
from support.faults import Against
from support.floods import CHUNKED
from support.server import Peer, Script, answering, response

OK = response(b"ok")
TURN = ("-X", "POST", "-l", "1", "--attempt-timeout", "10s", "-r", "0")
LOST = "lost in 1, ambiguous"


class Contest:
    """The scripts of an API that wins each record, and of one that loses it.

    The loser sends nothing, or only `start`.  The winner answers a record once the loser has its
    request, and the next one only after the client has closed the loser's connection.
    """

    def __init__(self, start: bytes = b"") -> None:
        self._start = start
        self._begun = self._parted = self._won = 0
        self._changed = trio.Condition()

    async def loser(self, peer: Peer) -> None:
        await peer.request()
        await self._count(begun=1)
        await peer.send(self._start)
        try:
            await peer.closed()
        finally:
            with trio.CancelScope(shield=True):
                await self._count(parted=1)

    async def winner(self, peer: Peer) -> None:
        while await peer.request():
            async with self._changed:
                while not (self._begun > self._won == self._parted):
                    await self._changed.wait()
            self._won += 1
            await peer.send(OK)

    async def _count(self, begun: int = 0, parted: int = 0) -> None:
        async with self._changed:
            self._begun += begun
            self._parted += parted
            self._changed.notify_all()


@pytest.mark.parametrize("transport", ["native", "httpx"])
@pytest.mark.parametrize("start", [b"", CHUNKED + b"2\r\nab\r\n"], ids=["waiting", "reading"])
def test_the_server_of_a_lost_call_sees_it_go(
    against: Against, transport: str, start: bytes
) -> None:
    """The record is written before, and in the middle of, the loser's response."""
    contest = Contest(start)
    scripts = {"a": contest.winner, "b": contest.loser}
    ledger = against(scripts, *TURN, "--join", "first", "--transport", transport)
    assert ledger.status == 0
    assert ledger.endings() == ["ok in 1"] * 3
    assert ledger.endings("b") == [LOST] * 3
    assert ledger.servers["b"].connections == 3
    assert all("a" in message for message in ledger.messages("b"))


def test_the_server_of_a_lost_call_sees_it_go_over_tls(
    against: Against, certificates: Certificates
) -> None:
    """Closing does not wait for a close_notify."""
    contest = Contest()
    scripts = {"a": contest.winner, "b": contest.loser}
    tls = {"b": certificates.server()}
    ledger = against(scripts, *TURN, "--join", "first", tls=tls, trust=certificates)
    assert ledger.endings() == ["ok in 1"] * 3
    assert ledger.endings("b") == [LOST] * 3


@pytest.mark.parametrize(
    ("join", "others"), [("quorum:2", {"c": answering(OK)}), ("best-effort:100ms", {})]
)
def test_other_policies_cancel_as_well(
    against: Against, join: str, others: dict[str, Script]
) -> None:
    """With two of three, or for calls that do not answer soon after the first."""
    contest = Contest()
    scripts = {"a": contest.winner, "b": contest.loser, **others}
    ledger = against(scripts, *TURN, "--join", join)
    assert ledger.status == 0
    for name in ("a", *others):
        assert ledger.endings(name) == ["ok in 1"] * 3
    assert ledger.endings("b") == [LOST] * 3


def test_a_loser_that_waits_is_never_sent(against: Against) -> None:
    """A call that is pausing when a sibling wins sends nothing more to its API."""
    winning = trio.Event()

    async def win(peer: Peer) -> None:
        await peer.request()
        await winning.wait()
        await peer.send(OK)

    async def refuse(peer: Peer) -> None:
        await peer.request()
        no = response(b"no", "Retry-After: 20", "Connection: close", status="503 Unavailable")
        await peer.send(no)
        await peer.closed()  # so the client knows
        winning.set()

    args = ("--join", "first", "-r", "2", "--timeout", "60s")
    ledger = against({"a": win, "b": refuse}, *args, records=1)
    assert (ledger.status, ledger.endings(), ledger.endings("b")) == (
        0,
        ["ok in 1"],
        ["lost in 1"],
    )
    assert ledger.servers["b"].connections == 1
    assert ledger.summary["seconds"] < 20

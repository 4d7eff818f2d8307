"""Members that report to one place and get their orders in the answer."""

from __future__ import annotations

from tmux_fanout.core.dealing.messages import (
    Asks,
    Elsewhere,
    Found,
    Frames,
    Granted,
    Heard,
    Order,
    Tallied,
    TallyUp,
    decode_order,
    encode_message,
)
from tmux_fanout.core.dealing.registrar import Registrar
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.holder import Amount
from tmux_fanout.core.sharing.lease import Ask
from tmux_fanout.core.sharing.tallies import Tally

AMOUNTS = [Amount(6)]


class Member:
    def __init__(self, registrar: Registrar, name: str, run: str = "run") -> None:
        self._registrar = registrar
        self._name = name
        self._run = run
        self._seq = 0
        self.share = 0

    def report(self, data: bytes, now: float) -> list[Order]:
        answer = self._registrar.report(self._run, self._name, AMOUNTS, data, now)
        return [decode_order(content) for content in Frames().feed(answer)]

    def ask(self, now: float) -> int:
        """Ask for the share, and return it."""
        self._seq += 1
        ask = Ask(self._seq, self._seq - 1, (self.share,))
        [granted, *_] = self.report(encode_message(Asks(ask)), now)
        assert isinstance(granted, Granted)
        assert granted.grant.again <= 0.5
        [self.share] = granted.grant.amounts
        return self.share


def test_members_share_and_leave() -> None:
    """Shares never add up to more than there is; other runs have their own."""
    registrar = Registrar()
    one, two = Member(registrar, "tcp://a:1 x"), Member(registrar, "tcp://b:1 y")
    assert (one.ask(0.0), two.ask(0.1)) == (6, 0)
    assert (one.ask(0.5), two.ask(0.6)) == (3, 0)
    assert (one.ask(0.7), two.ask(0.8)) == (3, 3)
    assert Member(registrar, "z", "another").ask(0.9) == 6
    registrar.leave("tcp://a:1 ", 1.0)
    assert two.ask(1.5) == 3  # what the other had sent may still be under way
    assert two.ask(2.1) == 6
    two.report(b"", 2.2)
    assert one.ask(3.3) == 6


def test_members_hear_what_others_find_out() -> None:
    """Each once, and those that come later, too."""
    registrar = Registrar()
    one, two, late = (Member(registrar, name) for name in "abc")
    one.ask(0.0)
    two.ask(0.0)
    condition = Condition(0, 0, paused=30.0, paused_by="retry-after")
    assert one.report(encode_message(Found([condition])), 1.0) == []
    [heard] = two.report(encode_message(Found([])), 1.0)
    assert isinstance(heard, Heard)
    assert heard.conditions[0].paused == 30.0
    assert two.report(encode_message(Found([])), 2.0) == []
    assert len(late.report(encode_message(Found([])), 2.0)) == 1


def test_runs_without_reports_are_forgotten() -> None:
    registrar = Registrar()
    Member(registrar, "a").ask(0.0)
    Member(registrar, "b", "another").ask(3601.0)
    assert repr(registrar) == "<Registrar: 1 runs>"


def test_members_in_trouble_learn_what_others_have_counted() -> None:
    """Those are asked in the answer to their next report, and are alone if all others are idle."""
    registrar = Registrar()
    one, two = Member(registrar, "one"), Member(registrar, "two")
    one.ask(0.0)
    two.ask(0.0)
    troubled = encode_message(Tallied([Tally(0, 0, refused=3)], asks=True))
    assert one.report(troubled, 0.1) == [Elsewhere([Tally(0, 0, is_partial=True)], None)]
    calm = encode_message(Found([Condition(0, 0)]))
    assert two.report(calm, 0.2) == [TallyUp([(0, 0)])]
    assert two.report(calm, 0.2) == []
    counted = encode_message(Tallied([Tally(0, 0, served=5, has_served=True)], asks=False))
    assert two.report(counted, 0.3) == []
    assert one.report(troubled, 0.4) == [Elsewhere([Tally(0, 0, served=5, has_served=True)], None)]
    idle = encode_message(Asks(Ask(2, 1, (0,), is_idle=True)))
    two.report(idle, 0.5)
    [told] = one.report(troubled, 0.6)
    assert isinstance(told, Elsewhere)
    assert told.records == 0
    two.report(b"", 0.7)
    assert one.report(troubled, 0.8) == [Elsewhere([Tally(0, 0, has_served=True)], 0)]

"""Who gets which records, whoever dies."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.dealing import MOST_DEATHS, Dealer
from tmux_fanout.core.records import Record
from tmux_fanout.core.reorder import InOrder


def record(index: int) -> Record:
    return Record(index, b"{}", b"{}")


def dealt(dealer: Dealer[str]) -> list[tuple[str, list[int]]]:
    """All that can be handed out now."""
    handed = []
    while handing := dealer.next():
        handed.append((handing.member, [record.index for record in handing.records]))
    return handed


def dealer_of(*members: str, least: int = 1, records: int = 0) -> Dealer[str]:
    dealer = Dealer[str](max(1, len(members)), least)
    for member in members:
        dealer.enlist(member)
    dealer.add([record(index) for index in range(records)])
    return dealer


def test_chunk_is_shared_by_all() -> None:
    """One chunk may be all that there is."""
    assert dealt(dealer_of("a", "b", records=5)) == [("a", [0, 1, 2]), ("b", [3, 4])]


def test_batches_stay_whole() -> None:
    assert dealt(dealer_of("a", "b", least=4, records=5)) == [("a", [0, 1, 2, 3]), ("b", [4])]


def test_who_has_least_gets_next() -> None:
    dealer = dealer_of("a", "b", records=4)
    assert dealt(dealer) == [("a", [0, 1]), ("b", [2, 3])]
    assert dealer.finished("b", 3)
    dealer.add([record(4)])
    assert dealt(dealer) == [("b", [4])]
    assert dealer.owner(4) == "b"


def test_nothing_is_dealt_while_nobody_is_there() -> None:
    dealer = Dealer[str](2)
    dealer.add([record(0)])
    assert dealt(dealer) == []
    dealer.enlist("a")
    assert dealt(dealer) == [("a", [0])]


def test_records_of_the_dead_go_before_others() -> None:
    dealer = dealer_of("a", "b", records=4)
    dealt(dealer)
    dealer.add([record(4)])
    assert dealer.died("a", lambda _: True) == []
    assert dealt(dealer) == [("b", [0, 1]), ("b", [4])]


def test_what_may_not_be_repeated_is_lost() -> None:
    dealer = dealer_of("a", records=4)
    dealt(dealer)
    dealer.finished("a", 0)
    lost = dealer.died("a", lambda index: index > 2)
    assert [record.index for record in lost] == [1, 2]
    dealer.enlist("b")
    assert dealt(dealer) == [("b", [3])]


def test_second_death_is_the_last() -> None:
    dealer = dealer_of("a", records=2)
    dealt(dealer)
    assert dealer.died("a", lambda _: True) == []
    dealer.enlist("b")
    dealt(dealer)
    assert [record.index for record in dealer.died("b", lambda _: True)] == [0, 1]
    assert dealer.owner(0) is None


def test_late_word_of_the_dead_counts_for_nothing() -> None:
    dealer = dealer_of("a", "b", records=1)
    dealt(dealer)
    dealer.died("a", lambda _: True)
    assert not dealer.finished("a", 0)
    assert dealt(dealer) == [("b", [0])]
    assert not dealer.finished("a", 0)
    assert dealer.finished("b", 0)


def test_what_waits_can_be_taken_back() -> None:
    dealer = dealer_of(records=3)
    assert [record.index for record in dealer.withdraw()] == [0, 1, 2]
    dealer.enlist("a")
    assert dealt(dealer) == []


class Item:
    """A record in the line."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.complete = False


class Story:
    """A dealer, members who may die, and the line in which what they do is put.

    What is sent of a record, and what a member knows of it, is as hypothesis draws it.
    """

    def __init__(self, members: int, most_open: int, repeatable: set[int]) -> None:
        self.dealer = Dealer[int](members)
        self.line = InOrder[Item]()
        self.items: dict[int, Item] = {}
        self.has: dict[int, list[int]] = {}
        self.sent: Counter[int] = Counter()
        self.deaths: Counter[int] = Counter()
        self.lost: list[int] = []
        self.written: list[int] = []
        self._repeatable = repeatable
        self._hired = 0
        for _ in range(members):
            self.hire()

    def hire(self) -> None:
        self.dealer.enlist(self._hired)
        self.has[self._hired] = []
        self._hired += 1

    def read(self, count: int) -> None:
        records = [record(len(self.items) + place) for place in range(count)]
        for each in records:
            self.items[each.index] = Item(each.index)
            self.line.add(self.items[each.index])
        self.dealer.add(records)
        self.deal()

    def deal(self) -> None:
        while handing := self.dealer.next():
            self.has[handing.member] += [record.index for record in handing.records]

    def send(self, draw: int) -> None:
        """Some record that somebody has is sent, as far as its member comes."""
        unsent = [index for indexes in self.has.values() for index in indexes]
        if unsent:
            self.sent[unsent[draw % len(unsent)]] += 1

    def finish(self, draw: int) -> None:
        holders = [member for member, indexes in self.has.items() if indexes]
        if holders:
            member = holders[draw % len(holders)]
            index = self.has[member].pop(draw % len(self.has[member]))
            self.sent[index] += not self.sent[index]
            assert self.dealer.finished(member, index)
            self.complete(index)

    def die(self, draw: int) -> None:
        member = list(self.has)[draw % len(self.has)]
        had = self.has.pop(member)
        self.deaths.update(had)
        lost = {each.index for each in self.dealer.died(member, self.may_repeat)}
        for index in had:
            is_last = self.deaths[index] == MOST_DEATHS
            assert (index in lost) == (is_last or not self.may_repeat(index))
        assert lost <= set(had)
        self.lost += sorted(lost)
        for index in lost:
            self.complete(index)
        self.hire()
        self.deal()

    def may_repeat(self, index: int) -> bool:
        return index in self._repeatable or not self.sent[index]

    def complete(self, index: int) -> None:
        assert not self.items[index].complete
        self.items[index].complete = True
        self.written += [item.index for item in self.line.take(99)]


@given(
    st.integers(1, 4),
    st.sets(st.integers(0, 40)),
    st.lists(
        st.tuples(st.sampled_from(["read", "send", "finish", "die"]), st.integers(0, 30)),
        max_size=80,
    ),
)
def test_every_record_comes_out_once_and_in_order(
    members: int, repeatable: set[int], steps: list[tuple[str, int]]
) -> None:
    """For any schedule of finishing and dying; and what must not be is sent once only."""
    story = Story(members, 99, repeatable)
    for step, draw in steps:
        if step == "read":
            story.read(draw % 9 + 1)
        else:
            getattr(story, step)(draw)
    while any(story.has.values()):
        story.finish(0)
    assert story.written == list(range(len(story.items)))
    assert len(set(story.lost)) == len(story.lost)


@pytest.mark.parametrize("members", [1, 2, 3, 7])
def test_shares_differ_by_little(members: int) -> None:
    """Of many records, all dealt at once."""
    dealer = Dealer[int](members)
    for member in range(members):
        dealer.enlist(member)
    for start in range(0, 1000, 100):
        dealer.add([record(index) for index in range(start, start + 100)])
    shares: Counter[int] = Counter()
    while handing := dealer.next():
        shares[handing.member] += len(handing.records)
    assert max(shares.values()) - min(shares.values()) <= -(-100 // members)

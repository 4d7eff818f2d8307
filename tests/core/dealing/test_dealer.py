"""Which member gets which records, whoever dies."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.dealing.blocks import Block, BlocksAsCompleted, BlocksInOrder
from tmux_fanout.core.dealing.dealer import SUSPICIOUS_DEATHS, Dealer
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.results.outcome import Result


def record(index: int) -> Record:
    return Record(index, b"{}", b"{}")


def dealt(dealer: Dealer[str]) -> list[tuple[str, list[int]]]:
    """Deal all that can be dealt now."""
    handed = []
    while handed_out := dealer.next():
        handed.append((handed_out.member, [record.index for record in handed_out.records]))
    return handed


def dealer_of(*members: str, min_records: int = 1, records: int = 0) -> Dealer[str]:
    dealer = Dealer[str](max(1, len(members)), min_records)
    for member in members:
        dealer.enlist(member)
    dealer.add([record(index) for index in range(records)])
    return dealer


def test_chunk_is_shared_by_all() -> None:
    """Every member gets a block of a chunk, which may be the only one."""
    assert dealt(dealer_of("a", "b", records=5)) == [("a", [0, 1, 2]), ("b", [3, 4])]


def test_batches_stay_whole() -> None:
    assert dealt(dealer_of("a", "b", min_records=4, records=5)) == [("a", [0, 1, 2, 3]), ("b", [4])]


def finish(dealer: Dealer[str], member: str, *indexes: int) -> bool:
    """Finish records of a member; return whether it had all of them."""
    for index in indexes:
        block = dealer.block_of(member, index)
        if block is None:
            return False
        block.add(result(index))
        dealer.finished(member, 1, [block])
    return True


def result(index: int) -> Result:
    return Result(record(index), (), ())


def test_member_with_the_fewest_records_gets_the_next() -> None:
    dealer = dealer_of("a", "b", records=4)
    assert dealt(dealer) == [("a", [0, 1]), ("b", [2, 3])]
    assert finish(dealer, "b", 3)
    [block] = dealer.add([record(4)])
    assert dealt(dealer) == [("b", [4])]
    assert block.member == "b"
    assert [list(each.open) for each in dealer.blocks_of("b")] == [[2], [4]]


def test_nothing_is_dealt_without_members() -> None:
    dealer = Dealer[str](2)
    dealer.add([record(0)])
    assert dealt(dealer) == []
    dealer.enlist("a")
    assert dealt(dealer) == [("a", [0])]


def test_a_member_gets_no_more_records_than_its_maximum() -> None:
    """A block waits until a member has room for all of it."""
    dealer = Dealer[str](1, max_records=2)
    dealer.enlist("a")
    dealer.enlist("b")
    dealer.add([record(index) for index in range(6)])
    most = {"a": 3, "b": 0}.__getitem__
    assert dealer.next(most) == ("a", [record(0), record(1)])
    assert dealer.next(most) is None
    assert dealer.is_waiting
    assert finish(dealer, "a", 0)
    assert dealer.next(most) == ("a", [record(2), record(3)])
    assert dealer.next(most) is None


def test_a_block_larger_than_the_maximum_goes_to_an_idle_member() -> None:
    """A batch stays whole, whatever a member may have, unless that is nothing."""
    dealer = Dealer[str](2, 4)
    dealer.enlist("a")
    dealer.add([record(index) for index in range(8)])
    assert dealer.next(lambda _: 0) is None
    assert dealer.next(lambda _: 2) == ("a", [record(index) for index in range(4)])
    assert dealer.next(lambda _: 2) is None


def test_records_of_the_dead_go_before_others() -> None:
    dealer = dealer_of("a", "b", records=4)
    dealt(dealer)
    dealer.add([record(4)])
    [broken] = dealer.died("a", lambda _: True)
    assert not broken.lost
    assert dealt(dealer) == [("b", [0, 1]), ("b", [4])]


def test_what_may_not_be_repeated_is_lost() -> None:
    """A block of which only some records may be repeated is split, in order."""
    dealer = dealer_of("a", records=6)
    dealt(dealer)
    assert finish(dealer, "a", 0)
    [(block, parts, lost)] = dealer.died("a", lambda index: index in (1, 4))
    assert [list(part.open) for part in parts] == [[1], [2, 3], [4], [5]]
    assert [list(part.open) for part in lost] == [[2, 3], [5]]
    assert not block.open
    dealer.enlist("b")
    assert dealt(dealer) == [("b", [1]), ("b", [4])]


def test_blocks_that_died_twice_are_halved_and_held_one_at_a_time() -> None:
    """Other records may be with them."""
    dealer = dealer_of("a", records=5)
    for member, successor in ("ab", "bc"):
        dealt(dealer)
        assert not dealer.died(member, lambda _: True)[0].lost
        dealer.enlist(successor)
    dealer.add([record(5)])
    assert dealt(dealer) == [("c", [0, 1, 2]), ("c", [5])]
    assert dealer.is_waiting
    assert finish(dealer, "c", 0, 1, 2)
    assert dealt(dealer) == [("c", [3, 4])]


def test_a_suspect_on_its_own_is_given_up() -> None:
    """That is the third death at the earliest."""
    dealer = dealer_of("a", records=1)
    for member, successor in ("ab", "bc"):
        dealt(dealer)
        assert not dealer.died(member, lambda _: True)[0].lost
        dealer.enlist(successor)
    dealt(dealer)
    [(_, parts, lost)] = dealer.died("c", lambda _: True)
    assert [list(part.open) for part in parts] == [[0]]
    assert lost == parts
    assert not dealer.is_waiting


@given(st.integers(1, 4), st.integers(1, 300), st.integers(1, 50), st.data())
def test_a_record_that_kills_is_found(
    members: int, count: int, chunk: int, data: st.DataObject
) -> None:
    """No other record is lost, even if members die before they finish anything."""
    poison = data.draw(st.integers(0, count - 1))
    dealer = Dealer[int](members, max_records=chunk)
    for member in range(members):
        dealer.enlist(member)
    for start in range(0, count, chunk):
        dealer.add(records(min(chunk, count - start), start))
    lost: list[int] = []
    deaths = 0
    while dealer.is_waiting:
        has: dict[int, list[int]] = {}
        while handed_out := dealer.next():
            has.setdefault(handed_out.member, []).extend(each.index for each in handed_out.records)
        for member, indexes in has.items():
            if poison in indexes:
                broken = dealer.died(member, lambda _: True)
                lost += [index for each in broken for part in each.lost for index in part.open]
                deaths += 1
                dealer.enlist(members + deaths)
            else:
                for index in indexes:
                    block = dealer.block_of(member, index)
                    assert block
                    block.add(result(index))
                    dealer.finished(member, 1, [block])
    assert lost == [poison]
    assert deaths <= SUSPICIOUS_DEATHS + 1 + chunk.bit_length()


def test_late_report_of_a_dead_member_is_ignored() -> None:
    dealer = dealer_of("a", "b", records=1)
    dealt(dealer)
    dealer.died("a", lambda _: True)
    assert not finish(dealer, "a", 0)
    assert dealt(dealer) == [("b", [0])]
    assert not finish(dealer, "a", 0)
    assert finish(dealer, "b", 0)


def test_waiting_blocks_can_be_withdrawn() -> None:
    dealer = dealer_of(records=3)
    assert [list(block.open) for block in dealer.withdraw()] == [[0, 1, 2]]
    dealer.enlist("a")
    assert dealt(dealer) == []


class Story:
    """A dealer, members that may die, and the buffer that orders their results.

    Hypothesis draws which records are sent, finished and lost.

    Args:
        is_ordered: whether members finish records in order, and the buffer keeps that order.
    """

    def __init__(self, members: int, repeatable: set[int], *, is_ordered: bool) -> None:
        self.dealer = Dealer[int](members)
        self.buffer = BlocksInOrder[int]() if is_ordered else BlocksAsCompleted[int]()
        self.records = 0
        self.has: dict[int, list[int]] = {}
        self.sent: Counter[int] = Counter()
        self.deaths: Counter[int] = Counter()
        self.lost: list[int] = []
        self.written: list[int] = []
        self._repeatable = repeatable
        self._is_ordered = is_ordered
        self._members = 0
        for _ in range(members):
            self.add_member()

    def add_member(self) -> None:
        self.dealer.enlist(self._members)
        self.has[self._members] = []
        self._members += 1

    def read(self, count: int) -> None:
        records = [record(self.records + offset) for offset in range(count)]
        self.records += count
        for block in self.dealer.add(records):
            self.buffer.add(block)
        self.deal()

    def invalid(self) -> None:
        """An invalid record has its result at once."""
        block = Block[int]([])
        block.add(result(self.records))
        self.records += 1
        self.buffer.add(block)
        self.write()

    def deal(self) -> None:
        while handed_out := self.dealer.next():
            self.has[handed_out.member] += [record.index for record in handed_out.records]

    def send(self, draw: int) -> None:
        """Send one of the records that members have."""
        unsent = [index for indexes in self.has.values() for index in indexes]
        if unsent:
            self.sent[unsent[draw % len(unsent)]] += 1

    def finish(self, draw: int) -> None:
        holders = [member for member, indexes in self.has.items() if indexes]
        if holders:
            member = holders[draw % len(holders)]
            position = 0 if self._is_ordered else draw % len(self.has[member])
            index = self.has[member].pop(position)
            self.sent[index] += not self.sent[index]
            block = self.dealer.block_of(member, index)
            assert block
            assert block.member == member
            self.buffer.mark_ready(block)
            block.add(result(index))
            self.dealer.finished(member, 1, [block])
            assert all(each.open for each in self.dealer.blocks_of(member))
            self.write()
            self.deal()

    def die(self, draw: int) -> None:
        member = list(self.has)[draw % len(self.has)]
        had = self.has.pop(member)
        self.deaths.update(had)
        lost = []
        broken = self.dealer.died(member, self.may_repeat)
        self.buffer.replace({each.block: each.parts for each in broken})
        head = self.buffer.head
        assert head is None or head.open or head.results
        for _, _, given_up in broken:
            for part in given_up:
                self.buffer.mark_ready(part)
                for index in list(part.open):
                    part.add(result(index))
                    lost.append(index)
        for index in had:
            assert index in lost or self.may_repeat(index)
            assert index not in lost or not self.may_repeat(index) or self.deaths[index] >= 3
        assert set(lost) <= set(had)
        self.lost += sorted(lost)
        self.write()
        self.add_member()
        self.deal()

    def may_repeat(self, index: int) -> bool:
        return index in self._repeatable or not self.sent[index]

    def write(self) -> None:
        """Write what is ready, in several batches if it is much."""
        while self.buffer.ready:
            results, size = self.buffer.take(2)
            assert size == sum(each.source.size for each in results)
            self.written += [each.index for each in results]


@given(
    st.integers(1, 4),
    st.sets(st.integers(0, 40)),
    st.lists(
        st.tuples(
            st.sampled_from(["read", "send", "finish", "die", "invalid"]), st.integers(0, 30)
        ),
        max_size=80,
    ),
    st.booleans(),
)
def test_every_record_comes_out_once_and_in_order(
    members: int, repeatable: set[int], steps: list[tuple[str, int]], is_ordered: bool
) -> None:
    """That holds for any schedule of finishing and dying."""
    story = Story(members, repeatable, is_ordered=is_ordered)
    for step, draw in steps:
        if step == "read":
            story.read(draw % 9 + 1)
        elif step == "invalid":
            story.invalid()
        else:
            getattr(story, step)(draw)
        if is_ordered:
            assert story.written == list(range(len(story.written)))
        assert not story.buffer.ready
    while any(story.has.values()):
        story.finish(0)
    assert sorted(story.written) == list(range(story.records))
    assert not len(story.buffer)
    assert len(set(story.lost)) == len(story.lost)


@pytest.mark.parametrize("members", [1, 2, 3, 7])
def test_shares_differ_by_little(members: int) -> None:
    """Members get nearly equal numbers of many records that are dealt at once."""
    dealer = Dealer[int](members)
    for member in range(members):
        dealer.enlist(member)
    for start in range(0, 1000, 100):
        dealer.add([record(index) for index in range(start, start + 100)])
    shares: Counter[int] = Counter()
    while handed_out := dealer.next():
        shares[handed_out.member] += len(handed_out.records)
    assert max(shares.values()) - min(shares.values()) <= -(-100 // members)


def records(number: int, start: int = 0) -> list[Record]:
    return [record(index) for index in range(start, start + number)]


def dealt_to(dealer: Dealer[str]) -> list[str]:
    """Return to whom the waiting blocks are dealt."""
    members = []
    while dealt := dealer.next():
        members.append(dealt.member)
    return members


def test_blocks_go_to_members_whose_slots_idle() -> None:
    """However many open records they have, until they have what they wanted."""
    dealer = Dealer[str](5)
    dealer.enlist("a")
    dealer.enlist("b")
    dealer.add(records(10))
    assert dealt_to(dealer) == ["a", "b", "a", "b", "a"]
    dealer.wants("a", 4, received=6)
    assert dealer.wanted == 4
    dealer.add(records(10, 10))
    assert dealt_to(dealer) == ["a", "a", "b", "b", "b"]
    assert dealer.wanted == 0


def test_records_on_their_way_are_what_was_wanted() -> None:
    """A member that has not yet received what it was dealt wants no more than the rest."""
    dealer = Dealer[str](1)
    dealer.enlist("a")
    dealer.add(records(3))
    dealt_to(dealer)
    dealer.wants("a", 5, received=0)
    assert dealer.wanted == 2
    dealer.wants("a", 2, received=0)
    assert dealer.wanted == 0
    dealer.wants("a", 2, received=3)
    dealer.died("a", lambda _: True)
    assert dealer.wanted == 0
    dealer.wants("a", 2, received=3)  # it was on its way
    assert dealer.wanted == 0


def test_members_that_stand_by_get_records_only_if_there_are_no_others() -> None:
    dealer = Dealer[str](2)
    dealer.stand_by("a", stands_by=True)
    dealer.enlist("a")
    dealer.add(records(2))
    assert dealt_to(dealer) == ["a", "a"]
    dealer.enlist("b")
    dealer.wants("a", 9, received=2)
    dealer.add(records(4, 2))
    assert dealt_to(dealer) == ["b", "b"]
    dealer.stand_by("a", stands_by=False)
    dealer.add(records(2, 6))
    assert dealt_to(dealer) == ["a", "a"]

"""What members in trouble are told that the others have counted."""

from __future__ import annotations

from tmux_fanout.core.sharing.tallies import FRESH, Ledger, Tally

KEY = (0, 1)


def tally(refused: int = 0, served: int = 0, **more: bool) -> Tally:
    return Tally(*KEY, refused, served, **more)


def test_others_are_what_all_but_one_have_counted_since_it_asked() -> None:
    """Each member is told of the others' attempts once, and never of its own."""
    ledger = Ledger[str]()
    ledger.add("a", [tally(3)], 0.0)
    assert ledger.others("a", [KEY], [], 0.0) == [tally()]
    ledger.add("b", [tally(4, 5, has_served=True)], 0.1)
    ledger.add("a", [tally(2)], 0.2)
    assert ledger.others("a", [KEY], [], 0.2) == [tally(4, 5, has_served=True)]
    assert ledger.others("a", [KEY], [], 0.3) == [tally(0, 0, has_served=True)]
    assert ledger.others("b", [KEY], [], 0.3) == [tally(0, 0, has_served=True)]
    ledger.add("a", [tally(-3)], 0.4)
    assert ledger.others("b", [KEY], [], 0.4) == [tally(-3, has_served=True)]


def test_what_is_older_than_the_trouble_does_not_count() -> None:
    """A member that was calm for a while begins anew."""
    ledger = Ledger[str]()
    assert ledger.others("a", [KEY], [], 0.0) == [tally()]
    ledger.add("b", [tally(7, 90)], 1.0)
    assert ledger.others("a", [KEY], [], 1.0 + FRESH) == [tally()]
    ledger.add("b", [tally(1, 2)], 2.0 + FRESH)
    assert ledger.others("a", [KEY], [], 2.0 + FRESH) == [tally(1, 2)]


def test_counts_are_partial_until_all_others_have_reported() -> None:
    """A member that has not reported lately may have counted more; one that is gone has not."""
    ledger = Ledger[str]()
    assert ledger.others("a", [KEY], ["b"], 0.0) == [tally(is_partial=True)]
    ledger.add("b", [tally()], 0.1)
    assert ledger.others("a", [KEY], ["b"], 0.1) == [tally()]
    assert ledger.others("a", [KEY], ["b", "c"], 0.1) == [tally(is_partial=True)]
    ledger.leave("c")
    assert ledger.others("a", [KEY], ["b"], 0.3) == [tally()]
    assert ledger.others("a", [KEY], ["b"], 0.2 + FRESH) == [tally(is_partial=True)]


def test_calls_that_others_have_not_tried_are_told() -> None:
    """Until all are tried, or their member is gone."""
    ledger = Ledger[str]()
    ledger.add("b", [tally()], 0.1)
    ledger.add("c", [tally(has_untried=True)], 0.1)
    assert ledger.others("a", [KEY], ["b", "c"], 0.1) == [tally(has_untried=True)]
    assert ledger.others("c", [KEY], ["a", "b"], 0.1) == [tally(is_partial=True)]
    ledger.leave("c")
    assert ledger.others("a", [KEY], ["b"], 0.2) == [tally()]


def test_others_are_asked_once_a_second() -> None:
    """However many members are in trouble, and however often they report."""
    ledger = Ledger[str]()
    assert ledger.questions([KEY], 0.0) == [KEY]
    assert ledger.questions([KEY, (1, 0)], 0.9) == [(1, 0)]
    assert ledger.questions([KEY, (1, 0)], 1.0) == [KEY]


def test_counts_of_a_member_that_is_gone_stay() -> None:
    """What it saw has happened, and is told to those that did not know it."""
    ledger = Ledger[str]()
    ledger.others("a", [KEY], [], 0.0)
    ledger.add("b", [tally(4)], 0.1)
    ledger.leave("b")
    assert ledger.others("a", [KEY], [], 0.2) == [tally(4)]

"""The outcomes of records whose member died."""

from __future__ import annotations

import pytest

from tmux_fanout.core.dealing.lost_records import Sent, lost_outcomes, may_repeat


@pytest.mark.parametrize(
    ("sent", "repeated"),
    [(None, True), ([False, False], True), ([True, False], True), ([False, True], False)],
)
def test_what_was_sent_and_is_not_idempotent_is_not_repeated(sent: Sent, repeated: bool) -> None:
    """The first API accepts a request twice, the second does not."""
    assert may_repeat(sent, [True, False]) == repeated


@pytest.mark.parametrize(
    ("sent", "attempts", "ambiguous"),
    [
        (None, [1, 1], [False, True]),
        ([False, False], [0, 0], [False, False]),
        ([True, False], [1, 0], [False, False]),
        ([True, True], [1, 1], [False, True]),
    ],
)
def test_outcomes_show_what_may_have_been_sent(
    sent: Sent, attempts: list[int], ambiguous: list[bool]
) -> None:
    outcomes = lost_outcomes("cancelled", "it died", sent, [True, False], [(0,), (1,)])
    assert [outcome.attempts for outcome in outcomes] == attempts
    errors = [outcome.error for outcome in outcomes if outcome.error]
    assert [error.ambiguous for error in errors] == ambiguous
    expected = {0: "it died; not sent", 1: "it died; it may have been sent"}
    assert [error.message for error in errors] == [expected[number] for number in attempts]
    assert {error.kind for error in errors} == {"cancelled"}


@pytest.mark.parametrize(
    ("sent", "attempts", "ambiguous"),
    [
        (None, 1, True),
        ([False, False], 0, False),
        ([True, False], 1, False),
        ([True, True], 2, True),
    ],
)
def test_an_outcome_covers_the_fallback(sent: Sent, attempts: int, ambiguous: bool) -> None:
    """One outcome, under the first API, says what may have been sent to either."""
    (outcome,) = lost_outcomes("cancelled", "it died", sent, [True, False], [(0, 1)])
    assert outcome.attempts == attempts
    assert outcome.error
    assert outcome.error.ambiguous == ambiguous

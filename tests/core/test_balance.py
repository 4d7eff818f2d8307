"""Which endpoint an attempt goes to."""

import pytest

from tmux_fanout.core.balance import choose
from tmux_fanout.core.settings import Balance


@pytest.mark.parametrize(
    ("balance", "in_flight", "turn", "avoid", "expected"),
    [
        ("round-robin", [9, 0, 0], 0, None, 0),
        ("round-robin", [0, 0, 9], 2, None, 2),
        ("round-robin", [0, 0, 0], 1, 1, 2),
        ("round-robin", [0], 0, 0, 0),
        ("least-in-flight", [2, 1, 3], 0, None, 1),
        ("least-in-flight", [1, 1, 1], 2, None, 2),
        ("least-in-flight", [0, 5, 6], 0, 0, 1),
        ("least-in-flight", [4], 0, 0, 0),
        ("failover", [9, 0], 0, None, 0),
        ("failover", [9, 0], 0, 0, 1),
        ("failover", [0, 9], 1, None, 1),
        ("failover", [0, 9], 1, 0, 1),
    ],
)
def test_choose(
    balance: Balance, in_flight: list[int], turn: int, avoid: int | None, expected: int
) -> None:
    """The least busy, the next in turn, or the first that works; never where it just failed."""
    assert choose(balance, in_flight, turn, avoid) == expected

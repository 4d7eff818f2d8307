"""The choice of an endpoint."""

import pytest

from tmux_fanout.core.policy.balance import Balance, choose

OK = [True, True, True]


@pytest.mark.parametrize(
    ("balance", "in_flight", "turn", "usable", "avoid", "expected"),
    [
        ("round-robin", [9, 0, 0], 0, OK, None, 0),
        ("round-robin", [0, 0, 9], 2, OK, None, 2),
        ("round-robin", [0, 0, 0], 1, OK, 1, 2),
        ("round-robin", [0, 0, 0], 1, [True, False, False], None, 0),
        ("round-robin", [0, 0, 0], 1, [False, True, False], 1, 1),
        ("least-in-flight", [2, 1, 3], 0, OK, None, 1),
        ("least-in-flight", [1, 1, 1], 2, OK, None, 2),
        ("least-in-flight", [0, 5, 6], 0, OK, 0, 1),
        ("least-in-flight", [0, 5, 6], 0, [False, False, True], None, 2),
        ("failover", [9, 0, 0], 2, OK, None, 0),
        ("failover", [9, 0, 0], 0, OK, 0, 1),
        ("failover", [0, 0, 0], 0, [False, True, True], None, 1),
        ("failover", [0, 0, 0], 0, [False, True, True], 1, 2),
        ("failover", [0, 0, 0], 0, [False, False, False], None, 0),
    ],
)
def test_choose(
    balance: Balance,
    in_flight: list[int],
    turn: int,
    usable: list[bool],
    avoid: int | None,
    expected: int,
) -> None:
    """It is the least busy, the next or the first usable one, not the one that just failed."""
    assert choose(balance, in_flight, turn, usable=usable, avoid=avoid) == expected

"""The pool of connections to any number of hosts."""

from __future__ import annotations

import pytest

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.transports.native.hosts.pool import BoundedPool


class Fake:
    def __init__(self) -> None:
        self.max_idle = 50.0
        self.idle_until = 0.0
        self.is_reusable = True
        self.alive = True
        self.closed = False

    def is_alive(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.closed = True


def origin(number: int) -> Origin:
    return Origin("http", f"h{number}.test", 80)


def test_the_connection_idle_longest_makes_room() -> None:
    """No more than the maximum are kept, over all hosts, and nothing is left of the others."""
    pool = BoundedPool[Fake](3)
    connections = [Fake() for _ in range(1000)]
    for number, connection in enumerate(connections):
        assert pool.give_back(origin(number), connection, 0.0)
        assert len(pool) == min(number + 1, 3)
    assert [connection.closed for connection in connections] == [True] * 997 + [False] * 3
    assert pool.take(origin(0), 0.0) is None
    assert pool.take(origin(999), 0.0) is connections[999]
    assert len(pool) == len(pool._idle) == 2


@pytest.mark.parametrize("reason", ["dead", "stale", "dropped", "spent", "room"])
def test_nothing_is_left_of_connections_that_go(reason: str) -> None:
    """Whatever ends a connection, its host is forgotten with it."""
    pool = BoundedPool[Fake](3)
    connection = Fake()
    connection.is_reusable = reason != "spent"
    assert pool.give_back(origin(1), connection, 0.0) is (reason != "spent")
    if reason == "dead":
        connection.alive = False
    if reason == "dropped":
        pool.drop(origin(1), connection)
    if reason == "room":
        pool.make_room(origin(1))
    assert pool.take(origin(1), 100.0) is None
    assert connection.closed
    assert (len(pool), pool._idle) == (0, {})


def test_close_closes_all() -> None:
    """Nothing stays open."""
    pool = BoundedPool[Fake](3)
    connections = [Fake(), Fake()]
    for number, connection in enumerate(connections):
        pool.give_back(origin(number), connection, 0.0)
    pool.close()
    assert all(connection.closed for connection in connections)
    assert len(pool) == 0

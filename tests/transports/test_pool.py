"""The pool: which connection is next, and which are dropped."""

from __future__ import annotations

from tmux_fanout.core.http import Origin
from tmux_fanout.transports.pool import Pool

HERE, THERE = Origin("http", "here", 80), Origin("http", "there", 80)


class Fake:
    def __init__(self) -> None:
        self.is_reusable = True
        self.alive = True
        self.closed = False

    def is_alive(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.closed = True


def test_pool_gives_the_connection_used_last() -> None:
    """Each origin has its own, and the freshest goes first."""
    pool = Pool[Fake]()
    first, second = Fake(), Fake()
    pool.give_back(HERE, first)
    pool.give_back(HERE, second)
    assert pool.take(THERE) is None
    assert pool.take(HERE) is second
    assert pool.take(HERE) is first
    assert pool.take(HERE) is None


def test_pool_closes_what_cannot_be_used_again() -> None:
    """Neither what its exchange left unusable, nor what was closed while it lay idle."""
    pool = Pool[Fake]()
    spent, dead = Fake(), Fake()
    spent.is_reusable = False
    pool.give_back(HERE, spent)
    pool.give_back(HERE, dead)
    dead.alive = False
    assert pool.take(HERE) is None
    assert spent.closed
    assert dead.closed


def test_pool_lets_dead_connections_go_while_others_are_used() -> None:
    """After a burst, a trickle on one connection clears those that the server has closed."""
    pool = Pool[Fake]()
    burst = [Fake() for _ in range(5)]
    for connection in burst:
        pool.give_back(HERE, connection)
    for connection in burst[:4]:
        connection.alive = False
    for _ in range(4):
        taken = pool.take(HERE)
        assert taken is burst[4]
        pool.give_back(HERE, taken)
    assert len(pool) == 1
    assert all(connection.closed for connection in burst[:4])
    pool.close()
    assert len(pool) == 0
    assert burst[4].closed

"""The pool: which connection is next, and which are dropped."""

from __future__ import annotations

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.transports.pool import Pool

HERE, THERE = Origin("http", "here", 80), Origin("http", "there", 80)


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


def test_pool_gives_the_connection_used_last() -> None:
    """Each origin has its own connections, the latest first."""
    pool = Pool[Fake]()
    first, second = Fake(), Fake()
    pool.give_back(HERE, first, 0.0)
    pool.give_back(HERE, second, 0.0)
    assert pool.take(THERE, 0.0) is None
    assert pool.take(HERE, 0.0) is second
    assert pool.take(HERE, 0.0) is first
    assert pool.take(HERE, 0.0) is None


def test_pool_closes_what_cannot_be_used_again() -> None:
    """Neither unfinished exchanges nor connections closed while idle are kept."""
    pool = Pool[Fake]()
    spent, dead = Fake(), Fake()
    spent.is_reusable = False
    pool.give_back(HERE, spent, 0.0)
    pool.give_back(HERE, dead, 0.0)
    dead.alive = False
    assert pool.take(HERE, 0.0) is None
    assert spent.closed
    assert dead.closed


def test_pool_lets_dead_connections_go_while_others_are_used() -> None:
    """After a burst, a trickle on one connection clears those closed by the server."""
    pool = Pool[Fake]()
    burst = [Fake() for _ in range(5)]
    for connection in burst:
        pool.give_back(HERE, connection, 0.0)
    for connection in burst[:4]:
        connection.alive = False
    for _ in range(4):
        taken = pool.take(HERE, 0.0)
        assert taken is burst[4]
        pool.give_back(HERE, taken, 0.0)
    assert len(pool) == 1
    assert all(connection.closed for connection in burst[:4])
    pool.close()
    assert len(pool) == 0
    assert burst[4].closed


def test_pool_gives_no_connection_that_has_been_idle_for_too_long() -> None:
    """Each has the time that its server allows, even if it looks alive."""
    pool = Pool[Fake]()
    hasty, patient = Fake(), Fake()
    hasty.max_idle = 4.0
    pool.give_back(HERE, patient, 10.0)
    pool.give_back(HERE, hasty, 11.0)
    assert pool.take(HERE, 15.0) is hasty
    pool.give_back(HERE, hasty, 15.0)
    assert pool.take(HERE, 19.1) is patient
    assert hasty.closed
    pool.give_back(HERE, patient, 20.0)
    assert pool.take(HERE, 70.1) is None
    assert patient.closed


def test_pool_makes_room_by_closing_the_connection_idle_longest() -> None:
    """There are never more connections than there were concurrent attempts."""
    pool = Pool[Fake]()
    pool.make_room(HERE)
    first, second = Fake(), Fake()
    pool.give_back(HERE, first, 0.0)
    pool.give_back(HERE, second, 0.0)
    pool.make_room(HERE)
    assert (first.closed, second.closed, len(pool)) == (True, False, 1)


def test_pool_lets_old_connections_go_while_others_are_used() -> None:
    """After a burst, a trickle on one connection closes old ones, though they look alive."""

    class Watcher:
        is_watching = True

    pool = Pool[Fake](Watcher())
    burst = [Fake() for _ in range(5)]
    for connection in burst:
        pool.give_back(HERE, connection, 0.0)
    for now in (40.0, 80.0, 120.0, 160.0, 200.0):
        assert pool.take(HERE, now) is burst[4]
        pool.give_back(HERE, burst[4], now)
    assert [connection.closed for connection in burst] == [True] * 4 + [False]
    assert len(pool) == 1

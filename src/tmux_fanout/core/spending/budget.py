"""The budget of a run, `--max-cost`: what has been spent, and what is reserved for attempts."""

from __future__ import annotations


class Budget:
    """Decide whether attempts may still be paid for; amounts are in trillionths.

    What is reserved may turn out to cost less.  An attempt that does not fit therefore waits until
    no paid attempt is under way.  If it does not fit then, nothing begins any more, and the run is
    over once the last attempt has ended, and the last job that was paid for.

    Args:
        limit: maximum amount that may be spent.

    Attributes:
        may_grow: whether the limit is a share, of which there may be more to come.
        is_short: whether an attempt waits for more.
        open_jobs: number of calls that are paid for, and have to be asked for what came of them.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent = 0
        self._reserved = 0
        self._in_flight = 0
        self._paid_in_flight = 0
        self._is_closed = False
        self.may_grow = False
        self.is_short = False
        self.open_jobs = 0

    def __repr__(self) -> str:
        return f"<Budget: {self._spent} spent, {self._reserved} reserved of {self._limit}>"

    @property
    def used(self) -> int:
        """What was spent, and what is reserved."""
        return self._spent + self._reserved

    def change(self, limit: int) -> None:
        """Change the maximum amount."""
        self._limit = limit
        self.is_short = False

    def fits(self, amount: int) -> bool:
        """Return whether an attempt may begin that reserves this amount."""
        return not self._is_closed and self._spent + self._reserved + amount <= self._limit

    def begin(self, reserved: int, *, is_paid: bool) -> None:
        """Record that an attempt begins; `is_paid` tells whether its API has a price."""
        self._reserved += reserved
        self._in_flight += 1
        self._paid_in_flight += is_paid

    def end(self, reserved: int, spent: int, *, is_paid: bool) -> None:
        """Record that an attempt has ended, and what it has spent."""
        self._reserved -= reserved
        self._spent += spent
        self._in_flight -= 1
        self._paid_in_flight -= is_paid

    def give_up(self, amount: int) -> bool:
        """Return whether the run is over, an attempt that reserves this amount not fitting."""
        if not self._paid_in_flight and not self.fits(amount):
            self._is_closed = self._is_closed or not self.may_grow
            self.is_short = not self._is_closed
        return self._is_closed and not self._in_flight and not self.open_jobs

"""Join policies: when a record is settled, and whether it is ok.

    all             every API must be ok
    first           one ok outcome is enough; the other calls are lost to it
    quorum:N        N ok outcomes are enough
    best-effort:T   once one is ok, the others have the time T left

A call that `when` ruled out was never made, so it neither wins nor is waited for: if fewer APIs are
called than a quorum needs, all of those must be ok.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid
from tmux_fanout.core.units import parse_duration, parse_whole, show_duration


class Settled(Protocol):
    """The part of an outcome that a join policy needs."""

    @property
    def ok(self) -> bool: ...

    @property
    def skipped(self) -> bool: ...


class JoinPolicy(msgspec.Struct, frozen=True):
    """How many ok outcomes a record needs.

    Attributes:
        needed: the number, or None for all.
        grace: seconds that the other calls have left once there are enough.
    """

    needed: int | None = None
    grace: float = 0.0

    def is_ok(self, outcomes: Sequence[Settled]) -> bool:
        """Return whether a record with these outcomes is ok."""
        if self.needed is None:
            for outcome in outcomes:  # noqa: SIM110 - in half the time of all()
                if not outcome.ok:
                    return False
            return True
        called = [outcome for outcome in outcomes if not (outcome.skipped and outcome.ok)]
        return sum(outcome.ok for outcome in called) >= min(self.needed, len(called))

    def winners(self, outcomes: Sequence[Settled | None]) -> list[int]:
        """Return the indexes of the ok outcomes that settle a record early; none if too few.

        Args:
            outcomes: the outcomes of all APIs, None where a call is open.
        """
        if self.needed is None:
            return []
        ok = [i for i, each in enumerate(outcomes) if each and each.ok and not each.skipped]
        return ok if len(ok) >= self.needed else []

    def why_lost(self, winners: Sequence[str]) -> str:
        """Return the message for a call that is no longer needed.

        Args:
            winners: names of the APIs whose outcomes are enough.
        """
        names = " and ".join(winners)
        return f"lost to {names}" + (f" by {show_duration(self.grace)}" if self.grace else "")


ALL = JoinPolicy()


def parse_join(value: object) -> JoinPolicy:
    """Return a policy from its text, such as `quorum:2`.

    Raises:
        ConfigError: the text is no join policy.
    """
    if isinstance(value, JoinPolicy):
        return value
    word, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if value in ("all", "first"):
        return JoinPolicy(1) if value == "first" else ALL
    if word == "quorum" and (number := parse_whole(rest)):
        return JoinPolicy(number)
    if word == "best-effort" and colon:
        return JoinPolicy(1, parse_duration(rest))
    advice = "all, first, quorum:N or best-effort:T"
    raise ConfigError(invalid("join policy", value, advice))

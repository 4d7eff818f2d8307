"""Join policies: when a record is settled, and whether it is ok.

    all             every API has to be ok
    first           one ok outcome is enough; the others are lost to it
    quorum:N        N ok outcomes are enough
    best-effort:T   once one is ok, the others have T more

A call that `when` ruled out was never asked, so it neither wins nor is waited for: where fewer APIs
are asked than a quorum has, all of those have to be ok.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import describe
from tmux_fanout.core.units import parse_duration, parse_whole, show_duration


class Settled(Protocol):
    """What a join policy looks at of an outcome."""

    @property
    def ok(self) -> bool: ...

    @property
    def skipped(self) -> bool: ...


class JoinPolicy(msgspec.Struct, frozen=True):
    """How many ok outcomes are enough.

    Attributes:
        needed: so many; None: all.
        grace: seconds that the others have once there are enough.
    """

    needed: int | None = None
    grace: float = 0.0

    def is_ok(self, outcomes: Sequence[Settled]) -> bool:
        """Whether a record with these outcomes is ok."""
        if self.needed is None:
            for outcome in outcomes:  # noqa: SIM110 - half of what all() takes
                if not outcome.ok:
                    return False
            return True
        asked = [outcome for outcome in outcomes if not (outcome.skipped and outcome.ok)]
        return sum(outcome.ok for outcome in asked) >= min(self.needed, len(asked))

    def winners(self, outcomes: Sequence[Settled | None]) -> list[int]:
        """The places of those that settle a record although others are open; none if none do."""
        if self.needed is None:
            return []
        ok = [i for i, each in enumerate(outcomes) if each and each.ok and not each.skipped]
        return ok if len(ok) >= self.needed else []

    def why_lost(self, winners: Sequence[str]) -> str:
        """What to say of a call that the winners, by name, have made needless."""
        who = " and ".join(winners)
        return f"lost to {who}" + (f" by {show_duration(self.grace)}" if self.grace else "")


ALL = JoinPolicy()


def parse_join(value: object) -> JoinPolicy:
    """A policy from its text.

    Raises:
        ConfigError: it is none.
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
    raise ConfigError(f"{describe(value)} is none; write all, first, quorum:2 or best-effort:500ms")

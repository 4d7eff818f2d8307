"""When a run is given up: --max-failures."""

from __future__ import annotations

import re

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import describe
from tmux_fanout.core.units import parse_whole

LEAST_FOR_A_SHARE = 100  # records, before which a share of them says little

_SHARE = re.compile(r"(\d{1,2}(?:\.\d+)?)%", re.ASCII)


class MaxFailures(msgspec.Struct, frozen=True):
    """How many records that are not ok are too many: past a number, or past a share (0 to 1)."""

    number: int | None = None
    share: float = 0.0

    def are_passed(self, failed: int, records: int) -> bool:
        """Whether so many of so many records are too many."""
        if self.number is not None:
            return failed > self.number
        return records >= LEAST_FOR_A_SHARE and failed > self.share * records


def parse_max_failures(value: object) -> MaxFailures:
    """A number of records, or a share such as `5%`.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, MaxFailures):
        return value
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    number = parse_whole(text)
    if number is not None:
        return MaxFailures(number)
    share = _SHARE.fullmatch(text)
    if share is None:
        raise ConfigError(f"{describe(value)} is neither a number nor a share; write 100 or 5%")
    return MaxFailures(share=float(share[1]) / 100)

"""The limit on failed records past which a run is given up: --max-failures."""

from __future__ import annotations

import re

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid
from tmux_fanout.core.units import parse_whole

MIN_RECORDS = 100  # before which a share of them means little

_SHARE = re.compile(r"(\d{1,2}(?:\.\d+)?)%", re.ASCII)


class MaxFailures(msgspec.Struct, frozen=True):
    """How many records may fail.

    Attributes:
        number: maximum number of failed records, or None.
        share: maximum share of failed records, from 0 to 1, if there is no number.
    """

    number: int | None = None
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.share * 100:g}%" if self.number is None else str(self.number)

    def are_passed(self, failed: int, records: int) -> bool:
        """Return whether too many records have failed.

        Args:
            failed: number of records that are not ok.
            records: number of records written.
        """
        if self.number is not None:
            return failed > self.number
        return records >= MIN_RECORDS and failed > self.share * records


def parse_max_failures(value: object) -> MaxFailures:
    """Return the limit from a number of records, or a share such as `5%`.

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
        advice = "a number or a share, such as 100 or 5%"
        raise ConfigError(invalid("failure limit", value, advice))
    return MaxFailures(share=float(share[1]) / 100)

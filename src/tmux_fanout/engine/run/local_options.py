"""What a run whose calls are made in this process may have besides its plan."""

from __future__ import annotations

from random import Random

from msgspec import Struct, field

from tmux_fanout.core.results.timings import Starts
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.calls.tracing.spans import Export


class LocalOptions(Struct, frozen=True, kw_only=True):
    """Options of a `LocalBackend`.

    Attributes:
        random: for the jitter of retries.
        mends: whether records may have outcomes of an earlier run (`MendRecord`).
        starts: where to note when records are begun, or None.
        share: what this process has of the limits; None: all of them.
        export: takes the spans of the run, or None.
    """

    random: Random = field(default_factory=Random)
    mends: bool = False
    starts: Starts | None = None
    share: Share | None = None
    export: Export | None = None

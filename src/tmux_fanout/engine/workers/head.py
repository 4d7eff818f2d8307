"""Who has the record for whom the output waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tmux_fanout.engine.head import HeadOfLine
from tmux_fanout.engine.row import Row
from tmux_fanout.engine.workers.process import Worker


class DealtHead(HeadOfLine):
    """Says who has the record that holds up the output.

    Args:
        owner_of: the worker that has a row, or None.
        tell: as for `HeadOfLine`.
    """

    def __init__(
        self, owner_of: Callable[[Row], Worker | None], tell: Callable[[str], None] | None
    ) -> None:
        super().__init__([], tell)
        self._owner_of = owner_of

    def _open_calls(self, row: Row) -> Iterator[str]:
        worker = self._owner_of(row)
        yield f"worker process {worker.place} has it" if worker else "waits for a worker process"

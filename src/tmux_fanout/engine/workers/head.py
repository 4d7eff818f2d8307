"""Who has the record for whom the output waits."""

from __future__ import annotations

from collections.abc import Iterator

from tmux_fanout.core.portions import Portion
from tmux_fanout.engine.head import HeadOfLine
from tmux_fanout.engine.workers.process import Worker


class DealtHead(HeadOfLine[Portion[Worker]]):
    """Says who has the record that holds up the output; arguments as for `HeadOfLine`."""

    def _index_of(self, head: Portion[Worker]) -> int | None:
        return next(iter(head.open), None)

    def _open_calls(self, head: Portion[Worker]) -> Iterator[str]:
        if self._index in head.open:
            worker = head.member
            yield (
                f"worker process {worker.place} has it" if worker else "waits for a worker process"
            )

"""Who has the record for whom the output waits."""

from __future__ import annotations

from collections.abc import Iterator

from tmux_fanout.core.dealing.blocks import Block
from tmux_fanout.engine.run.head_watchdog import HeadOfLine
from tmux_fanout.engine.workers.worker import Worker


class DealtHead(HeadOfLine[Block[Worker]]):
    """Says who has the record that holds up the output; arguments as for `HeadOfLine`."""

    def _index_of(self, head: Block[Worker]) -> int | None:
        return next(iter(head.open), None)

    def _open_calls(self, head: Block[Worker]) -> Iterator[str]:
        if self._index in head.open:
            worker = head.member
            yield (
                f"worker process {worker.place} has it" if worker else "waits for a worker process"
            )
